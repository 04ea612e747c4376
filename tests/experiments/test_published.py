import re
from collections import Counter
from pathlib import Path

import pytest

from pipeline_lib.base.errors import MissingFileError, UserError
from pipeline_lib.experiments.published import CHAPTER_6, COLUMNS, load_published

ROOT = Path(__file__).resolve().parents[2]
TABLES = [f"6.{number}" for number in range(1, 20)]


@pytest.fixture(scope="module")
def published():
    return load_published(ROOT / "conf/published.csv")


@pytest.fixture(scope="module")
def thesis():
    path = ROOT.parent / "shared" / "thesis.txt"
    if not path.is_file():
        pytest.skip("the thesis (../shared/thesis.txt) is not beside this checkout")
    return path.read_text().split("\n")


def printed_cells(lines, table):
    """Numbers in the table below its caption, without its first column, marks and effects."""
    start = next(number for number, line in enumerate(lines) if line.startswith(f"Table {table}:"))
    cells = []
    for line in lines[start + 1 :]:
        if "\t" in line:
            cells += line.split("\t")[1:]
        elif cells:
            break
    plain = [re.split(r"\$\\uparrow|[↑↓=]", re.sub(r"</?b>", "", cell))[0].strip() for cell in cells]
    return [cell.lstrip("+").replace(",", "") for cell in plain if re.fullmatch(r"\+?\d[\d,.]*(±[\d.]+)?", cell)]


@pytest.mark.parametrize("table", TABLES)
def test_a_table_holds_exactly_the_values_that_the_thesis_prints(published, thesis, table):
    ours = [
        f"{value.value}±{value.sd}" if value.sd else value.value for value in published.values if value.table == table
    ]
    assert Counter(ours) == Counter(printed_cells(thesis, table))


@pytest.mark.parametrize(
    "text", ["79.36", "1.1 \\times 10^{-2}", "3 \\times 10^{-3}", "1.4 \\times 10^{-2}", "1.8 \\times 10^{-2}"]
)
def test_values_from_the_text_are_there(thesis, text):
    assert text in "\n".join(thesis)


@pytest.mark.parametrize(
    ("table", "dataset", "method", "variant", "measure", "expected"),
    [
        ("6.9", "ImageNet-100", "+ Adaptive NN (0.3)", "best_head", "acc", "91.00"),
        ("6.11", "ImageNet-100", "Baseline (DINOv2)", "ensemble_val", "nmi", "92.95"),
        ("6.11", "ImageNet-100", "+ SK", "ensemble_self_trained", "ari", "88.19"),
        ("6.12", "CIFAR20", "UCLS Ensemble + Self-Training", "ensemble_self_trained", "acc", "74.23"),
        ("6.14", "ImageNet", "UCLS stage-1", "best_head", "acc", "70.23 ± 0.16"),
        ("6.15", "Food101", "TURTLE", "published", "acc", "78.9"),
        ("6.16", "ImageNet-100", "0.3", "neighbors", "nn_count", "940.7"),
        ("6.16", "ImageNet-100", "0.3", "overall", "acc", "91.83 ± 0.81"),
        ("6.18", "CIFAR20", "w/ Smoothing", "best_head", "acc", "70.63"),
        ("6.19", "ImageNet-100", "Baseline (DINOv2) w/ SCAN Loss", "best_head", "ari", "77.89"),
    ],
)
def test_spot_values(published, table, dataset, method, variant, measure, expected):
    assert published.find(table, dataset, method, variant, measure).text == expected


def test_a_backbone_is_found_in_the_order_of_preference(published):
    cell = ("6.4", "ImageNet-100", "+ SK", "best_head", "acc")
    assert published.find(*cell, ["MSN ViT-L/16"]).value == "85.30"
    assert published.find(*cell, ["none", "DINOv2 ViT-L/14", "MSN ViT-L/16"]).value == "90.90"


def test_what_the_thesis_does_not_have_is_not_found(published):
    assert published.find("6.16", "ImageNet-100", "1.0", "neighbors", "nn_acc") is None


def test_shares_are_percentages_and_no_cell_stands_there_twice(published):
    for value in published.values:
        if value.measure in ("acc", "nmi", "ari", "nn_acc"):
            assert 0 < float(value.value) <= 100, value
        assert not value.sd or 0 < float(value.sd) < 3, value
    cells = Counter((f.table, f.dataset, f.method, f.backbone, f.variant, f.measure) for f in published.values)
    assert cells.most_common(1)[0][1] == 1


def test_oddities_are_noted(published):
    noted = {(f.table, f.dataset, f.method, f.measure) for f in published.values if "printed so" in f.note}
    assert {("6.15", "Food101", "UCLS stage-1", "nmi"), ("6.1", "CIFAR10", "data set", "val_images")} <= noted


def test_a_broken_file_is_refused_in_one_line(tmp_path):
    path = tmp_path / "published.csv"
    with pytest.raises(MissingFileError, match="not found"):
        load_published(path)
    path.write_text("table,value\n6.1,3\n")
    with pytest.raises(UserError, match=r"columns \['table', 'value'\]: allowed: table, dataset"):
        load_published(path)
    path.write_text(",".join(COLUMNS[CHAPTER_6.name]) + "\n6.9,d,m,b,v,acc,9x,,thesis,\n")
    with pytest.raises(UserError, match="line 2: value = '9x': allowed: a number"):
        load_published(path)
