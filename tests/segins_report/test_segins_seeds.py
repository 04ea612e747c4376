import csv

import pytest

from pipeline_lib.errors import UserError
from pipeline_lib.params import load_params
from pipeline_lib.segins_report.experiments import Row, load_sets, mean_and_deviation, set_named, write_tables
from stages.segins_experiments import seeded
from stages.segins_steps import Runner, chain


@pytest.fixture(scope="module")
def sets(repository):
    return load_sets(repository / "conf" / "segins_experiments.yaml")


def test_every_variant_of_every_set_is_possible(sets, repository):
    for chosen in sets.values():
        for own in chosen.variants.values():
            params = load_params(repository / "params.yaml", changes=seeded(own, 3))
            assert params.pretrain.seed == params.detection.seed == 3
            assert set(chosen.starts) <= set(params.segins_suite.start)


def test_an_unknown_set_is_refused(sets):
    with pytest.raises(UserError, match="lamda: unknown; did you mean lambda"):
        set_named(sets, "lamda")


def test_an_unknown_key_is_refused(tmp_path):
    path = tmp_path / "sets.yaml"
    path.write_text("a: {title: A, variant: {}}\n")
    with pytest.raises(UserError, match="variant"):
        load_sets(path)


def test_tables_give_mean_and_sample_deviation(tmp_path):
    rows = [
        Row("λ 1", "moco-segins", ({"top1": 0.1, "ap": 0.2}, {"top1": 0.3, "ap": 0.2})),
        Row("λ 2", "random", ({"top1": 0.5}, {"top1": 0.5})),
    ]
    text = write_tables(tmp_path, "x", "X", rows, 2, "Note.")
    assert "| λ 1 | SegIns (MoCo-V2) | 20.0 ± 14.1 | 20.0 ± 0.0 |" in text
    assert "| λ 2 | random | 50.0 ± 0.0 | – |" in text
    lines = list(csv.DictReader((tmp_path / "x.csv").read_text().splitlines()))
    assert [float(line["value"]) for line in lines if line["measure"] == "top1"] == [0.1, 0.3, 0.5, 0.5]
    assert mean_and_deviation([0.5]) == (0.5, None)


def steps(changes, starts=("random", "moco-baseline", "moco-segins")):
    params = load_params(changes=changes)
    return params, list(chain(params, "scenes", starts))


def test_steps_come_after_their_inputs_and_once():
    _, found = steps({})
    titles = [step.title for step in found]
    assert len(set(titles)) == len(titles)
    assert titles[:4] == ["given_checkpoint-random", "pretrain_baseline-moco", "masks-moco", "pretrain_segins-moco"]
    for number, step in enumerate(found):
        assert all(other in found[:number] for other in step.inputs)


def test_variants_share_what_they_have_in_common(tmp_path, monkeypatch):
    monkeypatch.setattr("stages.segins_steps.run_fingerprint", lambda settings, *_: digest(settings))

    def roots(changes):
        params, found = steps(changes)
        runner = Runner(params, "scenes", tmp_path, tmp_path / "scratch")
        return {step.title: runner.root(step) for step in found}

    first, second = roots({}), roots({"segins.lambda": 5.0})
    changed = {title for title in first if first[title] != second[title]}
    assert changed == {
        "pretrain_segins-moco",
        "linear_eval-moco-segins",
        "detection-moco-segins-scenes",
        "segmentation-moco-segins-scenes",
    }


def digest(settings):
    return f"{hash(str(settings)) & 0xFFFFFFFF:08x}"
