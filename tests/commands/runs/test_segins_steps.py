"""The SegIns chain written out from dvc.yaml."""

from pathlib import Path

import pytest
from commands.runs.segins_steps import read_steps

from pipeline_lib.base.errors import UserError
from pipeline_lib.params.params import load_params

METRICS = Path("metrics/segins/scenes")


@pytest.fixture(scope="module")
def steps(repository):
    return read_steps(load_params(repository / "params.yaml"), repository / "dvc.yaml")


def test_a_transfer_needs_what_leads_to_its_start_and_nothing_else(steps):
    found = steps.leading_to([METRICS / "detection-moco-segins-scenes.json"])
    assert [step.stage for step in found] == [
        "scenes",
        "annotate",
        "pretrain_baseline",
        "masks",
        "pretrain_segins",
        "detection",
    ]
    assert {step.item["method"] for step in found if "method" in step.item} == {"moco"}
    assert found[-1].item == {"data": "scenes", "start": "moco-segins", "target": "scenes"}
    assert found[-1].inputs == (Path("data/annotated/scenes"), Path("data/checkpoints/scenes/moco-segins"))


def test_given_starts_are_not_trained(steps):
    found = steps.leading_to([METRICS / "linear_eval-random.json"])
    assert [step.stage for step in found] == ["scenes", "annotate", "given_checkpoint", "linear_eval"]
    assert found[2].item == {"data": "scenes", "given": "random"}


def test_each_step_comes_once_and_after_its_inputs(steps):
    starts = ("simsiam-segins", "moco-segins", "simsiam-baseline")
    found = steps.leading_to([METRICS / f"segmentation-{start}-scenes.json" for start in starts])
    written: set[Path] = set()
    for step in found:
        assert set(step.inputs) <= written
        assert not written & set(step.outputs)
        written |= set(step.outputs)
    assert [step.stage for step in found].count("annotate") == 1


def test_params_name_the_item_and_the_chosen_backbone(steps):
    found = {step.stage: step for step in steps.leading_to([METRICS / "linear_eval-moco-segins.json"])}
    assert "datasets.scenes" in found["annotate"].params
    assert "backbones.dinov2_vits14" in found["masks"].params
    assert found["pretrain_segins"].params == ("pretrain", "segins", "moco")
    assert Path("stages/masks.py") in found["masks"].code


def test_files_of_other_chains_and_names_are_refused(steps):
    for path in ("metrics/digits-pixels/ucls.json", "metrics/segins/scenes/linear_eval-supervised.json"):
        with pytest.raises(UserError, match=r"no stage of dvc\.yaml writes it"):
            steps.leading_to([Path(path)])
