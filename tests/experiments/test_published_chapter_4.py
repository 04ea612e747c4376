import re
from collections import Counter

import pytest

from pipeline_lib.base.errors import MissingFileError, UserError
from pipeline_lib.experiments.published import load_published


@pytest.fixture(scope="module")
def published(repository):
    return load_published(repository / "conf" / "published_segins.csv")


@pytest.mark.parametrize(
    ("table", "rows", "measures"),
    [
        ("4.1", 8, 2),
        ("4.2", 4, 10),
        ("4.3", 9, 3),
        ("4.4", 10, 6),
        ("4.5", 8, 2),
        ("4.6", 5, 7),
        ("4.7", 2, 3),
        ("4.8", 7, 3),
    ],
)
def test_every_cell_of_every_table_is_there(published, table, rows, measures):
    found = published.rows(table)
    assert len(found) == rows
    assert {len(row.values) for row in found} == {measures}


@pytest.fixture(scope="module")
def thesis(repository):
    path = repository.parent / "shared" / "thesis.txt"
    if not path.is_file():
        pytest.skip("the thesis (../shared/thesis.txt) is not beside this checkout")
    return path.read_text().split("\n")


@pytest.mark.parametrize("table", [f"4.{number}" for number in range(1, 9)])
def test_a_table_holds_exactly_the_values_that_the_thesis_prints(published, thesis, table):
    start = next(number for number, line in enumerate(thesis) if line.startswith(f"Table {table}:"))
    printed: list[str] = []
    for line in thesis[start + 1 :]:
        if "\t" in line:
            printed += [re.sub(r"</?b>", "", cell) for cell in line.split("\t")[1:]]
        elif printed:
            break
    printed = [cell for cell in printed if re.fullmatch(r"\d+\.\d", cell)]
    assert Counter(value.value for value in published.values if value.table == table) == Counter(printed)


def test_what_the_thesis_contradicts_itself_in_is_noted(published):
    notes = {(value.table, value.method, value.measure) for value in published.values if value.note}
    assert {("4.2", "SimSiam", "top1"), ("4.4", "SegIns (MoCo-V2)", "mask_ap")} <= notes
    (row,) = (row for row in published.rows("4.2") if row.title == "MoCo-V2, two crops, ImageNet-100, 500 epochs")
    assert row.notes == (
        "Table 4.1 has 79.8, and 81.1 for SimSiam: exchanged in one of the two",
        "headed AP30 in the table",
    )


def test_rows_keep_what_they_vary(published):
    weights = [row.title for row in published.rows("4.6")]
    assert weights == [f"SegIns (MoCo-V2), two crops, λ {weight}" for weight in ("0", "0.5", "1", "2", "5")]
    best = published.rows("4.3")[-1]
    assert best.title == "SegIns (MoCo-V2), multi-crop"
    assert best.values == {"ap50": "81.0", "ap": "55.4", "ap75": "61.3"}


def test_tables_that_print_the_same_runs_agree(published):
    detection = {row.title: row.values for row in published.rows("4.3")}
    for row in published.rows("4.8"):
        if row.title.endswith(", contracam"):
            assert row.values == detection[row.title.removesuffix(", contracam")]
    (two,) = (row for row in published.rows("4.6") if row.title.endswith("λ 2"))
    segins = {row.title: row.values for row in published.rows("4.5")}["SegIns (MoCo-V2), two crops"]
    assert {key: two.values[key] for key in segins} == segins


def test_errors_name_the_file_and_the_line(tmp_path):
    with pytest.raises(MissingFileError, match=r"elsewhere.published_segins\.csv: not found"):
        load_published(tmp_path / "elsewhere" / "published_segins.csv")
    path = tmp_path / "published_segins.csv"
    path.write_text("table,method,multi_crop,setting,measure,value,note\n4.1,A,no,,top1,many,\n")
    with pytest.raises(UserError, match=r"line 2: value = 'many': allowed: a number"):
        load_published(path)
    path.write_text("table,value\n")
    with pytest.raises(UserError, match="columns"):
        load_published(path)
