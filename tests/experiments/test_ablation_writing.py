import csv
import io

import pytest

from pipeline_lib.experiments.definitions import ExperimentSet, Row, Table
from pipeline_lib.experiments.report import write_report
from pipeline_lib.experiments.results import RowResult, RunResults, Summary, entries
from pipeline_lib.experiments.tables import cell_text, effect_text, table_markdown, tables_csv

LADDER = Table(title="Best head", groups=["best_head"], published=["6.9"], effect="row_before")


def run(accuracy, **others):
    figures = {"ucls.best_head_nmi": 0.5, "ucls.best_head_acc": accuracy, "ucls.best_head_ari": 0.25}
    return figures | {f"ucls.{key}": value for key, value in others.items()}


@pytest.fixture
def results():
    rows = [
        RowResult(Row(name="Baseline", published="Baseline (DINOv2)"), {}, [run(0.5), run(0.52)]),
        RowResult(Row(name="+ Feat", published="+ Feat"), {}, [], "does not apply"),
        RowResult(Row(name="+ BN", published="+ BN"), {}, [run(0.55), run(0.55)]),
        RowResult(Row(name="ours"), {}, [run(0.5), run(0.5)]),
    ]
    return RunResults("digits", "pixels", rows)


def lines_of(table, results, lookup):
    cells = entries(table, results, lookup)
    return table_markdown(table, cells, lookup, results.data, results.backbone).splitlines()


@pytest.mark.parametrize(
    ("effect", "text"), [(0.834, "↑ 0.83"), (-0.06, "↓ 0.06"), (0.004, "="), (-0.004, "="), (0.0, "="), (None, "")]
)
def test_effects_are_written_as_in_the_thesis(effect, text):
    assert effect_text(effect) == text


@pytest.mark.parametrize(
    ("summary", "measure", "text"),
    [
        (None, "acc", "–"),
        (Summary(91.0, None, None, 1), "acc", "91.00"),
        (Summary(91.006, 0.5, None, 3), "acc", "91.01 ± 0.50"),
        (Summary(91.0, 0.5, 1.25, 3), "acc", "91.00 ± 1.25"),
        (Summary(940.71, None, None, 1), "nn_count", "940.7"),
        (Summary(0.01134, None, None, 1), "train_kl_to_uniform", "0.0113"),
    ],
)
def test_figures_have_their_digits_and_deviation(summary, measure, text):
    assert cell_text(summary, measure) == text


def test_columns_show_ours_with_the_effect_and_the_thesis_beside(results, lookup):
    assert lines_of(LADDER, results, lookup) == [
        "## Best head",
        "",
        "|  | NMI (%) | ACC (%) | ARI (%) | thesis: NMI / ACC / ARI |",
        "| --- | --- | --- | --- | --- |",
        "| Baseline | 50.00 ± 0.00 | 51.00 ± 1.41 | 25.00 ± 0.00 | 88.75 / 79.44 / 71.50 |",
        "| + Feat (does not apply) | – | – | – | 89.58 / 79.82 / 72.66 |",
        "| + BN | 50.00 ± 0.00 = | 55.00 ± 0.00 ↑ 4.00 | 25.00 ± 0.00 = | 90.10 / 81.86 / 74.44 |",
        "| ours | 50.00 ± 0.00 = | 50.00 ± 0.00 ↓ 5.00 | 25.00 ± 0.00 = | – |",
        "",
        "Thesis: Table 6.9, ImageNet-100, DINOv2 ViT-L/14.",
    ]


def test_stacked_tables_have_a_line_a_group(lookup):
    table = Table(
        title="t", groups=["best_head", "ensemble"], published=["6.11"], layout="stacked", effect="first_group"
    )
    figures = run(0.5, ensemble_nmi=0.6, ensemble_acc=0.45, ensemble_ari=0.25)
    row = RowResult(Row(name="+ SK", published="+ SK"), {}, [figures])
    lines = lines_of(table, RunResults("digits", "pixels", [row]), lookup)
    assert lines[4:6] == [
        "| **+ SK**, best head | 50.00 | 50.00 | 25.00 | 95.03 / 92.60 / 88.23 |",
        "| … ensemble † | 60.00 ↑ 10.00 | 45.00 ↓ 5.00 | 25.00 = | 95.07 / 92.72 / 88.34 |",
    ]


def test_a_comparison_ends_with_all_methods_of_the_data_set(lookup):
    table = Table(title="t", groups=["best_head"], published=["6.12", "6.15"], layout="comparison")
    row = RowResult(Row(name="UCLS"), {}, [run(0.9)])
    lines = lines_of(table, RunResults("food101", "dinov2_vitl14_reg", [row]), lookup)
    assert lines[4] == "| **UCLS, best head** | dinov2_vitl14_reg | 50.00 | 90.00 | 25.00 | these runs |"
    assert lines[5] == "| TURTLE | DINOv2 ViT-g/14 | – | 78.9 | – | thesis, from [31] |"
    assert len([line for line in lines if line.startswith("| ")]) == 2 + 1 + 5
    assert lines[-1] == "Rows of others: thesis, Table 6.15, Food101."


def test_a_comparison_says_where_the_thesis_has_no_figures(results, lookup):
    table = Table(title="t", groups=["best_head"], published=["6.12"], layout="comparison")
    lines = lines_of(table, results, lookup)
    assert lines[-1] == "The thesis has no figures for digits."
    assert not [line for line in lines if "thesis, from" in line]


def test_data_sets_stand_side_by_side_in_a_table_a_measure(lookup):
    table = Table(title="t", groups=["best_head"], layout="data_sets")
    runs = [
        RunResults(data, "pixels", [RowResult(Row(name="k"), {}, [run(value)])])
        for data, value in (("digits", 0.5), ("tiny20", 0.25))
    ]
    cells = [cell for one in runs for cell in entries(table, one, lookup)]
    lines = table_markdown(table, cells, lookup, "digits", "pixels").splitlines()
    assert "| ACC (%) | digits-pixels | tiny20-pixels |" in lines
    assert "| k | 50.00 | 25.00 |" in lines


def test_csv_has_a_line_a_cell_with_the_published_figure(results, lookup):
    text = tables_csv([(LADDER, entries(LADDER, results, lookup))])
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 4 * 3
    assert rows[1] == {
        "table": "Best head",
        "run": "digits-pixels",
        "row": "Baseline",
        "group": "Best head",
        "measure": "acc",
        "mean": "51.0000",
        "sd_over_seeds": "1.4142",
        "mean_sd_over_heads": "",
        "seeds": "2",
        "effect": "",
        "published": "79.44",
        "published_sd": "",
        "published_table": "6.9",
        "published_dataset": "ImageNet-100",
        "published_backbone": "DINOv2 ViT-L/14",
        "remark": "",
    }
    assert rows[3]["remark"] == "does not apply"
    assert rows[7]["effect"] == "4.0000"


def test_the_report_names_seeds_settings_and_what_was_not_measured(tmp_path, results, lookup):
    chosen = ExperimentSet(title="Steps", note="A note.", rows=[Row(name="x")], tables=[LADDER], figures=["steps"])
    write_report(tmp_path, "ladder", chosen, [results], lookup, 2, {"train_heads.heads": 4}, ["Not measured: x."])
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(first) == {f"ladder-digits-pixels.{ending}" for ending in ("md", "csv", "png")}
    text = first["ladder-digits-pixels.md"].decode()
    assert text.startswith("# Steps: digits-pixels\n\nMean ± sample standard deviation (n − 1) over 2 seeds;")
    for part in ("`train_heads.heads=4`", "![Steps](ladder-digits-pixels.png)", "A note.", "Not measured: x."):
        assert part in text
    write_report(tmp_path, "ladder", chosen, [results], lookup, 2, {"train_heads.heads": 4}, ["Not measured: x."])
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == first
