import csv
import io

import pytest

from pipeline_lib.experiments.cells import cells_of
from pipeline_lib.experiments.definitions import ExperimentSet
from pipeline_lib.experiments.report import Report, write_report
from pipeline_lib.experiments.results import Part, RowResult, RunResults, Summary
from pipeline_lib.experiments.rows import Row, Table
from pipeline_lib.experiments.tables import effect_text, summary_text, table_markdown, tables_csv

LADDER = Table(title="Best head", groups=["best_head"], published=["6.9"], effect="row_before")


def run(accuracy, **others):
    values = {"ucls.best_head_nmi": 0.5, "ucls.best_head_acc": accuracy, "ucls.best_head_ari": 0.25}
    return values | {f"ucls.{key}": value for key, value in others.items()}


@pytest.fixture
def results():
    rows = [
        RowResult(Row(name="Baseline", published="Baseline (DINOv2)"), {}, {0: run(0.5), 1: run(0.52)}),
        RowResult(Row(name="+ Feat", published="+ Feat"), reason="does not apply"),
        RowResult(Row(name="+ BN", published="+ BN"), {}, {0: run(0.55), 1: run(0.55)}),
        RowResult(Row(name="ours"), {}, {0: run(0.5), 1: run(0.5)}),
    ]
    return RunResults("digits", rows, "pixels")


def lines_of(table, results, lookup):
    cells = cells_of(table, results, lookup)
    return table_markdown(table, cells, lookup, results).splitlines()


@pytest.mark.parametrize(
    ("effect", "text"), [(0.834, "↑ 0.83"), (-0.06, "↓ 0.06"), (0.004, "="), (-0.004, "="), (0.0, "="), (None, "")]
)
def test_effects_are_written_as_in_the_thesis(effect, text):
    assert effect_text(effect) == text


@pytest.mark.parametrize(
    ("summary", "measure", "text"),
    [
        (None, "acc", "–"),
        (Summary((91.0,)), "acc", "91.00"),
        (Summary((90.506, 91.006, 91.506)), "acc", "91.01 ± 0.50"),
        (Summary((90.5, 91.0, 91.5), 1.25), "acc", "91.00 ± 1.25"),
        (Summary((940.71,)), "nn_count", "940.7"),
        (Summary((0.01134,)), "train_kl_to_uniform", "0.0113"),
    ],
)
def test_values_have_their_digits_and_deviation(summary, measure, text):
    assert summary_text(summary, measure) == text


def test_columns_show_ours_with_the_effect_and_the_thesis_beside(results, lookup):
    assert lines_of(LADDER, results, lookup) == [
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
    values = run(0.5, ensemble_nmi=0.6, ensemble_acc=0.45, ensemble_ari=0.25)
    row = RowResult(Row(name="+ SK", published="+ SK"), {}, {0: values})
    lines = lines_of(table, RunResults("digits", [row], "pixels"), lookup)
    assert lines[2:4] == [
        "| **+ SK**, best head | 50.00 | 50.00 | 25.00 | 95.03 / 92.60 / 88.23 |",
        "| … ensemble † | 60.00 ↑ 10.00 | 45.00 ↓ 5.00 | 25.00 = | 95.07 / 92.72 / 88.34 |",
    ]


def test_a_comparison_ends_with_all_methods_of_the_data_set(lookup):
    table = Table(title="t", groups=["best_head"], published=["6.12", "6.15"], layout="comparison")
    row = RowResult(Row(name="UCLS"), {}, {0: run(0.9)})
    lines = lines_of(table, RunResults("food101", [row], "dinov2_vitl14_reg"), lookup)
    assert lines[2] == "| **UCLS, best head** | dinov2_vitl14_reg | 50.00 | 90.00 | 25.00 | these runs |"
    assert lines[3] == "| TURTLE | DINOv2 ViT-g/14 | – | 78.9 | – | thesis, from [31] |"
    assert len([line for line in lines if line.startswith("| ")]) == 2 + 1 + 5
    assert lines[-1] == "Rows of others: thesis, Table 6.15, Food101."


def test_a_comparison_says_where_the_thesis_has_no_values(results, lookup):
    table = Table(title="t", groups=["best_head"], published=["6.12"], layout="comparison")
    lines = lines_of(table, results, lookup)
    assert lines[-1] == "The thesis has no values for digits."
    assert not [line for line in lines if "thesis, from" in line]


def test_data_sets_stand_side_by_side_in_a_table_a_measure(lookup):
    table = Table(title="t", groups=["best_head"], layout="data_sets")
    runs = [
        RunResults(data, [RowResult(Row(name="k"), {}, {0: run(value)})], "pixels")
        for data, value in (("digits", 0.5), ("tiny20", 0.25))
    ]
    cells = [cell for one in runs for cell in cells_of(table, one, lookup)]
    lines = table_markdown(table, cells, lookup, runs[0]).splitlines()
    assert "| ACC (%) | digits-pixels | tiny20-pixels |" in lines
    assert "| k | 50.00 | 25.00 |" in lines


def test_csv_has_a_line_a_cell_with_the_published_value(results, lookup):
    text = tables_csv([(LADDER, cells_of(LADDER, results, lookup))])
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 4 * 3
    assert rows[1] == {
        "table": "Best head",
        "run": "digits-pixels",
        "row": "Baseline",
        "group": "Best head",
        "measure": "acc",
        "seeds": "2",
        "mean": "51.0000",
        "sd_over_seeds": "1.4142",
        "mean_sd_over_heads": "",
        "values": "50.0000 52.0000",
        "against": "",
        "effect": "",
        "effect_sd": "",
        "effect_values": "",
        "seeds_with_gain": "",
        "published": "79.44",
        "published_sd": "",
        "published_effect": "",
        "published_table": "6.9",
        "published_row": "Baseline (DINOv2)",
        "published_dataset": "ImageNet-100",
        "published_backbone": "DINOv2 ViT-L/14",
        "remark": "",
    }
    assert rows[3]["remark"] == "does not apply"
    assert (rows[7]["effect"], rows[7]["effect_values"], rows[7]["against"]) == ("4.0000", "5.0000 3.0000", "Baseline")


def test_the_report_names_seeds_settings_and_what_was_not_measured(tmp_path, results, lookup):
    chosen = ExperimentSet(title="Steps", note="A note.", rows=[Row(name="x")], tables=[LADDER], pictures=["steps"])
    parts = [Part([LADDER], [results])]
    path = tmp_path / "ladder-digits-pixels"
    report = Report(path, chosen, parts, 2, {"train_heads.heads": 4}, ["Not measured: x."])
    write_report(report, lookup)
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(first) == {f"ladder-digits-pixels.{ending}" for ending in ("md", "csv", "png")}
    text = first["ladder-digits-pixels.md"].decode()
    assert text.startswith("# Steps: digits-pixels\n\nMean ± sample standard deviation (n − 1) over 2 seeds;")
    for part in ("`train_heads.heads=4`", "![Steps](ladder-digits-pixels.png)", "A note.", "Not measured: x."):
        assert part in text
    # The table says why in the row itself.
    assert "Not run" not in text
    write_report(report, lookup)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == first


def lines(table, runs, lookup, tmp_path):
    chosen = ExperimentSet(title="T", rows=[result.row for result in runs[0].rows], tables=[table])
    write_report(Report(tmp_path / "t", chosen, [Part([table], runs)], 1), lookup)
    return (tmp_path / "t.md").read_text().splitlines()


def test_a_line_a_data_set_ends_with_those_that_only_the_thesis_has(tmp_path, lookup):
    table = Table(title="t", groups=["sizes"], published=["6.1"], layout="lines")
    row = Row(name="data set", published="data set")
    counts = {"data_set.images_train": 45000, "data_set.images_val": 10000, "data_set.classes": 10}
    runs = [
        RunResults("digits", [RowResult(row, {}, {0: counts, 1: counts})]),
        RunResults("cifar10", [RowResult(row, {}, {0: counts})]),
        RunResults("stl10", [RowResult(row, reason="not found")]),
    ]
    written = lines(table, runs, lookup, tmp_path)
    start = written.index("|  | train images | val images | classes | thesis: train images / val images / classes |")
    assert written[start + 2 : start + 6] == [
        # Nothing of another data set stands beside one that the thesis does not have; counts have no deviation.
        "| digits | 45000 | 10000 | 10 | – |",
        "| cifar10 | 45000 | 10000 | 10 | 50000 / 5000 / 10 |",
        "| stl10 | – | – | – | 5000 / 8000 / 10 |",
        "| CIFAR20 | – | – | – | 50000 / 5000 / 20 |",
    ]
    assert len([line for line in written if line.startswith("| ")]) == 2 + 11
    assert not any(line.startswith(("| CIFAR10 ", "| STL10 ")) for line in written)
    [origin] = [line for line in written if line.startswith("Thesis: Table 6.1.")]
    assert "CIFAR10, CIFAR20, CIFAR100, val images: printed so; section 6.1 and the data set" in origin
    found = {
        line["run"]: line for line in csv.DictReader((tmp_path / "t.csv").open()) if line["measure"] == "val_images"
    }
    assert (found["cifar10"]["mean"], found["cifar10"]["published"]) == ("10000.0000", "5000")
    assert found["CIFAR20"]["remark"].startswith("not among the data sets of this table; printed so")


def test_a_line_ends_with_the_gain_of_the_last_row_beside_the_printed_one(tmp_path, lookup):
    table = Table(title="t", groups=["best_head"], published=["6.10"], layout="lines", effect="row_before")
    names = (Row(name="TEMI settings", published="TEMI"), Row(name="UCLS", published="UCLS stage-1"))
    runs = [
        RunResults(data, [RowResult(names[0], {}, {0: run(0.5)}), RowResult(names[1], {}, {0: run(0.75)})], "pixels")
        for data in ("digits", "cifar100")
    ]
    cells = {line.split(" | ")[0]: line.strip("| ").split(" | ") for line in lines(table, runs, lookup, tmp_path)}
    assert cells["| digits-pixels"][-2:] == ["+25.00", "–"]
    # 87.49 less 67.1, on two backbones: the thesis prints the difference itself.
    assert cells["| cifar100-pixels"][-2:] == ["+25.00", "+20.4"]
    assert cells["| cifar100-pixels"][4] == "76.9 ± 0.45 / 67.1 ± 1.30 / 53.3 ± 1.02"
    assert cells["| ImageNet"][-2:] == ["–", "+8.6"]
    assert "| CIFAR100" not in cells


def test_differences_without_a_printed_one_are_of_one_backbone(lookup):
    table = Table(title="t", groups=["best_head"], published=["6.9"], effect="row_before")
    pair = (RowResult(Row(name="b", published="+ BN")), RowResult(Row(name="a", published="+ Feat")))
    group = lookup.definitions.groups["best_head"]
    found = lookup.difference(table, pair, (group, group), "acc", RunResults("digits", [], "pixels"))
    assert found == pytest.approx(81.86 - 79.82)


def test_a_table_of_one_data_set_is_compared_with_whatever_ours_is(lookup):
    table = Table(title="t", groups=["frozen_features"], published=["6.2"], layout="comparison")
    values = {"bounds.upper_bound_knn_acc": 0.9, "bounds.upper_bound_linear_probe_acc": 0.95}
    written = lines_of(table, RunResults("digits", [RowResult(Row(name="Ours"), {}, {0: values})], "pixels"), lookup)
    assert written[0] == "|  | backbone | k-NN (%) | linear probe (%) | from |"
    assert written[2] == "| **Ours, frozen features, with labels** | pixels | 90.00 | 95.00 | these runs |"
    assert written[6] == "| DINOv2+Reg | DINOv2 with registers ViT-L/14 | 83.8 | 86.7 | thesis, from [60] |"
    assert written[-1] == "Rows of others: thesis, Table 6.2, ImageNet."


def test_tables_of_different_data_sets_in_one_report_say_what_holds_for_each(tmp_path, results, lookup):
    other = Table(title="Others", groups=["best_head"], published=["6.12"])
    row = RowResult(Row(name="k"), {}, {0: run(0.5)})
    stl10 = RunResults("stl10", [row], "pixels")
    chosen = ExperimentSet(title="Thesis", rows=[Row(name="x")], tables=[LADDER, other])
    parts = [Part([LADDER], [results]), Part([other], [stl10], "stl10; preset thesis-stl10")]
    write_report(Report(tmp_path / "thesis", chosen, parts, 2), lookup)
    text = (tmp_path / "thesis.md").read_text()
    assert text.startswith("# Thesis: digits-pixels, stl10-pixels\n")
    assert "## Others: stl10-pixels\n\nHere: stl10; preset thesis-stl10.\n\n|  | NMI (%)" in text
    assert "stl10-pixels: Not complete: k has 1 of 2 seeds." in text
    found = {(line["table"], line["run"]) for line in csv.DictReader((tmp_path / "thesis.csv").open())}
    assert found == {("Best head", "digits-pixels"), ("Others", "stl10-pixels")}


def test_a_chapter_has_a_page_with_pictures_and_the_reasons_of_empty_cells(tmp_path, results, lookup):
    table = LADDER.model_copy(update={"pictures": ("steps",), "note": "A *note* of <rows>."})
    chosen = ExperimentSet(title="Chapter", includes=[{"set": "ladder"}])
    path = tmp_path / "chapter"
    write_report(Report(path, chosen, [Part([table], [results], "preset thesis-{data}")], 2), lookup)
    page = (tmp_path / "chapter.html").read_text()
    assert '<h2 id="table-6-9--best-head-title">Table 6.9: Best head</h2>' in page
    assert "Here: preset thesis-digits." in page
    assert "A <em>note</em> of &lt;rows&gt;." in page
    assert page.count("data:image/png;base64,") == 1
    empty = page.split("Empty cells</h2>")[1]
    assert "does not apply" in empty
    # What the page shows, the Markdown has as well.
    assert "![Table 6.9: Best head](chapter-steps-6.9-digits-pixels.png)" in (tmp_path / "chapter.md").read_text()
    assert (tmp_path / "chapter-steps-6.9-digits-pixels.png").is_file()
