"""Rows of starts: measures and their files, gains over seeds, and what a reader has to know."""

import csv
import statistics

import pytest

from pipeline_lib.experiments.cells import Lookup, cells_of
from pipeline_lib.experiments.definitions import Definitions, ExperimentSet
from pipeline_lib.experiments.measures import MEASURES, applies, has_file, start_title
from pipeline_lib.experiments.published import Published, PublishedValue
from pipeline_lib.experiments.report import Report, write_report
from pipeline_lib.experiments.results import Part, Pretraining, RowResult, RunResults, remarks
from pipeline_lib.experiments.rows import Row, Table
from pipeline_lib.experiments.tables import table_markdown

DETECTION = Table(title="Object detection", published=["4.3"], measures=["ap50", "ap"])
BASE = Row(start="moco-baseline", name="MoCo-V2", published="MoCo-V2")
SEGINS = Row(start="moco-segins", name="SegIns", published="SegIns (MoCo-V2)", against="MoCo-V2")
LOOKUP = Lookup(
    Published(
        (
            PublishedValue("4.3", "MoCo-V2", "ap", "53.7", multi_crop="no"),
            PublishedValue("4.3", "SegIns (MoCo-V2)", "ap", "55.4", multi_crop="no"),
            PublishedValue("4.3", "MoCo-V2", "ap", "54.6", multi_crop="yes"),
        )
    ),
    Definitions(sets={}),
)


def run_of(*rows, multi_crop=False, metric="voc", gaps=None):
    pretraining = Pretraining("resnet18", 2, multi_crop, metric)
    return RunResults("scenes", rows, target="scenes", pretraining=pretraining, gaps=gaps or {})


@pytest.fixture
def rows():
    base = RowResult(BASE, runs={seed: {"detection.ap": value} for seed, value in enumerate((0.10, 0.20, 0.40))})
    segins = RowResult(SEGINS, runs={seed: {"detection.ap": value} for seed, value in enumerate((0.15, 0.22, 0.39))})
    return [base, segins]


def cells(*rows, **facts):
    found = {(cell.result.row.name, cell.measure): cell for cell in cells_of(DETECTION, run_of(*rows, **facts), LOOKUP)}
    return found["MoCo-V2", "ap"], found["SegIns", "ap"]


def test_measures_stand_in_the_files_that_a_start_has():
    assert MEASURES["mask_ap"].metrics == ("detection.mask_ap",)
    assert MEASURES["id_loss"].metrics == ("pretrain_segins.id_loss", "pretrain_baseline.id_loss")
    files = ("linear_eval", "masks", "pretrain_segins", "pretrain_baseline")
    assert [has_file("random", file) for file in files] == [True, False, False, False]
    assert [has_file("resnet-v2", file) for file in files] == [True, False, False, False]
    assert [has_file("moco-baseline", file) for file in files] == [True, False, False, True]
    assert [has_file("moco-segins", file) for file in files] == [True, True, True, True]
    assert [applies(name, "coco") for name in ("ap", "coco_ap", "mask_ap", "top1")] == [False, True, True, True]
    assert [applies(name, "voc_area") for name in ("ap", "coco_ap", "mask_ap")] == [True, False, True]
    titles = {"moco-segins": "SegIns (MoCo-V2)", "simsiam-baseline": "SimSiam", "random": "random"}
    assert {start: start_title(start) for start in titles} == titles


def test_gains_are_paired_by_seed(rows):
    base, cell = cells(*rows)
    differences = [5.0, 2.0, -1.0]
    assert cell.effect.values == pytest.approx(differences)
    assert cell.effect.mean == pytest.approx(2.0)
    assert cell.effect.sd == pytest.approx(statistics.stdev(differences))
    assert cell.effect.above_zero == 2
    assert cell.published_effect == pytest.approx(1.7)
    assert base.effect is None
    assert base.summary.sd == pytest.approx(statistics.stdev([10.0, 20.0, 40.0]))


def test_a_gain_takes_the_seeds_that_both_rows_have(rows):
    del rows[0].runs[1]
    assert cells(*rows)[1].effect.values == pytest.approx([5.0, -1.0])


def test_published_values_have_as_many_crops_as_ours_and_gains_never_mix_them(rows):
    base, segins = cells(*rows, multi_crop=True)
    assert base.published.multi_crop == "yes"
    assert segins.published.multi_crop == "no"
    assert segins.published_effect is None


def test_a_row_has_the_crops_of_its_own_settings(rows):
    rows[0].settings = {"pretrain.local_crops": 4}
    base, segins = cells(*rows)
    assert (base.published.value, segins.published.value) == ("54.6", "55.4")
    assert segins.published_effect is None
    rows[0].settings = {"pretrain.local_crops": 0}
    assert cells(*rows, multi_crop=True)[0].published.value == "53.7"


def test_a_row_that_was_not_run_keeps_the_value_of_the_thesis(rows):
    rows[0] = RowResult(BASE, reason="weights: not found")
    run = run_of(*rows)
    text = table_markdown(DETECTION, cells_of(DETECTION, run, LOOKUP), LOOKUP, run)
    assert "| MoCo-V2 | – | 53.7 (two crops) |" in text.splitlines()


def test_measures_of_another_metric_make_no_table(rows):
    run = run_of(*rows, metric="coco")
    assert table_markdown(DETECTION, cells_of(DETECTION, run, LOOKUP), LOOKUP, run) == ""


def test_report_says_what_was_run_and_what_was_not(rows, tmp_path):
    rows.append(RowResult(Row(start="moco-segins", name="tokencut"), reason="weights: not found"))
    rows[1].collapsed.append(2)
    experiments = ExperimentSet(title="Title", note="A note.", rows=[BASE, SEGINS], tables=[DETECTION])
    path = tmp_path / "seeds-scenes"
    run = run_of(*rows, gaps={"supervised": "supervised is not in segins_suite"})
    write_report(Report(path, experiments, [Part([DETECTION], [run])], 3, {"pretrain.epochs": 2}), LOOKUP)
    text = path.with_suffix(".md").read_text()
    for line in (
        "# Title: scenes",
        "|  | AP (%) | thesis |",
        "| --- | ---: | ---: |",
        "| MoCo-V2 | 23.33 ± 15.28 | 53.7 (two crops) |",
        "| **SegIns** | 25.33 ± 12.34 | 55.4 (two crops) |",
        "| … gain over MoCo-V2 | +2.00 ± 3.00 (2/3) | +1.7 |",
        "Thesis: Table 4.3.",
        "resnet18, 2 epochs on scenes, two crops; transfer to scenes, val split.",
        "Set for all rows: `pretrain.epochs=2`.",
        "Not run: tokencut: weights: not found.",
        "Left out: supervised (supervised is not in segins_suite).",
        "Collapsed: SegIns, seed 2.",
        "A note.",
    ):
        assert line in text.splitlines(), line
    found = list(csv.DictReader(path.with_suffix(".csv").read_text().splitlines()))
    assert [(cell["row"], cell["measure"], cell["seeds"]) for cell in found] == [
        ("MoCo-V2", "ap", "3"),
        ("SegIns", "ap", "3"),
    ]
    assert found[1]["values"] == "15.0000 22.0000 39.0000"
    assert (found[1]["against"], found[1]["effect"], found[1]["seeds_with_gain"]) == ("MoCo-V2", "2.0000", "2")
    assert (found[1]["published_row"], found[1]["published_effect"]) == ("SegIns (MoCo-V2), two crops", "1.70")


def test_incomplete_rows_are_named():
    said = remarks(run_of(RowResult(BASE, runs={0: {}})), 3, with_reasons=True)
    assert said == ["Not complete: MoCo-V2 has 1 of 3 seeds."]


def test_only_losses_counts_and_divergences_are_no_percentages():
    assert {name for name, measure in MEASURES.items() if not measure.share} == {
        "embedding_std", "id_loss", "seg_loss", "nn_count", "train_kl_to_uniform", "val_kl_to_uniform",
        "train_images", "val_images", "classes",
    }  # fmt: skip
