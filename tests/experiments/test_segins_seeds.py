"""Experiment sets of the SegIns chain: definitions, means and gains over seeds, tables."""

import csv
import statistics

import pytest
from pipeline_lib.experiments.segins_definitions import ExperimentSet, Row, Table, load_definitions
from pipeline_lib.experiments.segins_measures import MEASURES, applies, metric_file, value_of
from pipeline_lib.experiments.segins_published import Figure, load_published, rows_of
from pipeline_lib.experiments.segins_report import Facts, write_report
from pipeline_lib.experiments.segins_results import RowResult, lines, remarks

from pipeline_lib.base.errors import UserError

DETECTION = Table(title="Object detection", published="4.3", measures=("ap50", "ap"))
BASE = Row(start="moco-baseline", name="MoCo-V2", published="MoCo-V2")
SEGINS = Row(start="moco-segins", name="SegIns", published="SegIns (MoCo-V2)", against="MoCo-V2")
PRINTED = (
    Figure("4.3", "MoCo-V2", "no", "", "ap", "53.7", ""),
    Figure("4.3", "SegIns (MoCo-V2)", "no", "", "ap", "55.4", ""),
    Figure("4.3", "MoCo-V2", "yes", "", "ap", "54.6", ""),
)
FACTS = Facts(
    data="scenes",
    target="scenes",
    architecture="resnet18",
    epochs=2,
    multi_crop=False,
    detection_metric="voc",
    seeds=3,
    settings={"pretrain.epochs": 2},
)


@pytest.fixture
def results():
    base = RowResult(BASE, {seed: {"ap": value} for seed, value in enumerate((0.10, 0.20, 0.40))})
    segins = RowResult(SEGINS, {seed: {"ap": value} for seed, value in enumerate((0.15, 0.22, 0.39))})
    return [base, segins]


@pytest.fixture(scope="module")
def definitions(repository):
    return load_definitions(repository / "conf" / "segins_experiments.yaml")


def test_every_table_of_every_set_finds_its_published_rows(definitions, repository):
    figures = load_published(repository / "conf" / "published_segins.csv")
    for experiments in definitions.sets.values():
        rows = {(row.published, row.setting) for row in experiments.filled_rows()}
        for table in experiments.tables:
            printed = {(row.method, row.setting) for row in rows_of(figures, table.published or "")}
            assert not printed or len(rows & printed) > 1, (experiments.title, table.title)
    weights = {row.setting for row in definitions.sets["lambda"].filled_rows()}
    assert weights == {row.setting for row in rows_of(figures, "4.6")}


def test_rows_carry_the_method(definitions):
    rows = definitions.set_named("lambda").filled_rows("simsiam")
    assert rows[0].start == "simsiam-baseline"
    assert rows[0].published == "SegIns (SimSiam)"
    assert {row.start for row in rows[1:]} == {"simsiam-segins"}
    with pytest.raises(UserError, match="--method moco: the set has rows of all methods"):
        definitions.set_named("seeds").filled_rows("moco")
    with pytest.raises(UserError, match="did you mean lambda"):
        definitions.set_named("lamda")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"tables": [{"title": "T", "measures": ["app"]}]}, "measures: app: unknown"),
        ({"rows": [{"start": "random", "against": "MoCo-V2"}]}, "against = 'MoCo-V2': allowed: the name of an earlier"),
        ({"rows": [{"start": "random"}, {"start": "random"}]}, "random: none may have the name of another"),
    ],
)
def test_wrong_definitions_are_refused(change, complaint):
    body = {"title": "T", "rows": [{"start": "random"}], "tables": [{"title": "T", "measures": ["ap"]}]} | change
    with pytest.raises(ValueError, match=complaint):
        ExperimentSet.model_validate(body)


def test_measures_stand_in_the_files_that_the_stages_write():
    def place(measure, start):
        path = metric_file(measure, "voc", start, "coco")
        return None if path is None else path.as_posix()

    assert place("top1", "random") == "metrics/segins/voc/linear_eval-random.json"
    assert place("mask_ap", "moco-segins") == "metrics/segins/voc/detection-moco-segins-coco.json"
    assert place("frozen_miou", "moco-segins") == "metrics/segins/voc/segmentation-moco-segins-coco.json"
    assert place("id_loss", "simsiam-baseline") == "metrics/segins/voc/pretrain_baseline-simsiam.json"
    assert place("pseudo_mask_iou", "simsiam-segins") == "metrics/segins/voc/masks-simsiam.json"
    assert place("pseudo_mask_iou", "simsiam-baseline") is None
    assert place("id_loss", "resnet-v2") is None
    assert value_of("pseudo_mask_iou", {"pseudo": {"iou_with_masks": 0.25}}) == 0.25
    assert value_of("pseudo_mask_iou", {"pseudo": None}) is None
    assert [applies(name, "coco") for name in ("ap", "coco_ap", "mask_ap", "top1")] == [False, True, True, True]
    assert [applies(name, "voc_area") for name in ("ap", "coco_ap", "mask_ap")] == [True, False, True]


def test_gains_are_paired_by_seed(results):
    (base, segins) = lines(DETECTION, results, PRINTED, False, "voc")
    assert [cell.measure for cell in segins.cells] == ["ap"]
    cell = segins.cells[0]
    differences = [5.0, 2.0, -1.0]
    assert cell.gain.values == pytest.approx(differences)
    assert cell.gain.mean == pytest.approx(2.0)
    assert cell.gain.sd == pytest.approx(statistics.stdev(differences))
    assert cell.gain.above_zero == 2
    assert cell.published_gain == pytest.approx(1.7)
    assert base.cells[0].gain is None
    assert base.cells[0].value.sd == pytest.approx(statistics.stdev([10.0, 20.0, 40.0]))


def test_a_gain_takes_the_seeds_that_both_rows_have(results):
    del results[0].runs[1]
    segins = lines(DETECTION, results, PRINTED, False, "voc")[1]
    assert segins.cells[0].gain.values == pytest.approx([5.0, -1.0])


def test_published_rows_have_as_many_crops_as_ours_and_gains_never_mix_them(results):
    base, segins = lines(DETECTION, results, PRINTED, True, "voc")
    assert base.published.multi_crop == "yes"
    assert segins.published.multi_crop == "no"
    assert segins.cells[0].published_gain is None


def test_measures_of_another_metric_make_no_table(results):
    assert lines(DETECTION, results, PRINTED, False, "coco") == []


def test_report_says_what_was_run_and_what_was_not(results, tmp_path):
    results.append(RowResult(Row(start="moco-segins", name="tokencut"), reason="weights: not found"))
    results[1].collapsed.append(2)
    experiments = ExperimentSet(title="Title", note="A note.", rows=(BASE, SEGINS), tables=(DETECTION,))
    path = tmp_path / "seeds-scenes"
    write_report(path, experiments, results, PRINTED, FACTS, {"supervised": "supervised is not in segins_suite"})
    text = path.with_suffix(".md").read_text()
    for line in (
        "| MoCo-V2 | 23.33 ± 15.28 | 53.7 (two crops) |",
        "| **SegIns** | 25.33 ± 12.34 | 55.4 (two crops) |",
        "| … gain over MoCo-V2 | +2.00 ± 3.00 (2/3) | +1.7 |",
        "resnet18, 2 epochs on scenes, two crops; transfer to scenes, val split.",
        "Set for all rows: `pretrain.epochs=2`.",
        "Not run: tokencut: weights: not found.",
        "Left out: supervised (supervised is not in segins_suite).",
        "Collapsed: SegIns, seed 2.",
        "A note.",
    ):
        assert line in text.splitlines()
    cells = list(csv.DictReader(path.with_suffix(".csv").read_text().splitlines()))
    assert [(cell["row"], cell["measure"], cell["seeds"]) for cell in cells] == [
        ("MoCo-V2", "ap", "3"),
        ("SegIns", "ap", "3"),
    ]
    assert cells[1]["values"] == "15.0000 22.0000 39.0000"
    assert (cells[1]["gain_mean"], cells[1]["seeds_with_gain"]) == ("2.0000", "2")
    assert cells[1]["published_row"] == "SegIns (MoCo-V2), two crops"


def test_incomplete_rows_are_named():
    assert remarks([RowResult(BASE, {0: {}})], 3, {}) == ["Not complete: MoCo-V2 has 1 of 3 seeds."]


def test_only_shares_are_percentages():
    assert {name for name, measure in MEASURES.items() if not measure.share} == {"embedding_std", "id_loss", "seg_loss"}
