import csv

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline_lib.base.errors import UserError
from pipeline_lib.ucls.prediction.output import check_output, open_table
from pipeline_lib.ucls.probe.classifier import PredictionBlock

PATHS = ['a "quoted", path.png', "ü\nline.png", "c.png"]
PROBABILITIES = np.array([[0.1, 0.2, 0.7], [1.0, 0.0, 0.0], [0.3, 0.4, 0.3]], np.float32)
NAMES = {2: "dog", 0: "it's, a cat"}


def fill(table):
    for rows in (slice(0, 2), slice(2, 3)):
        probabilities = PROBABILITIES[rows]
        table.add(PATHS[rows], PredictionBlock(rows, probabilities.argmax(axis=1).astype(np.int32), probabilities))


def entropies():
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = PROBABILITIES.astype(np.float64) * np.log(PROBABILITIES)
    return (-np.nansum(terms, axis=1)).astype(np.float32)


def written(path, names=None):
    with open_table(path, names) as table:
        fill(table)
    return path


def test_csv_holds_every_value_as_it_is(tmp_path):
    with written(tmp_path / "new" / "out.csv").open(newline="", encoding="utf-8") as stream:
        header, *rows = csv.reader(stream)
    assert header == ["path", "cluster", "probability", "entropy"]
    assert [row[0] for row in rows] == PATHS
    assert [row[1] for row in rows] == ["2", "0", "1"]
    assert np.array_equal(np.float32([row[2] for row in rows]), PROBABILITIES.max(axis=1))
    np.testing.assert_allclose(np.float32([row[3] for row in rows]), entropies(), rtol=1e-6)


def test_parquet_holds_the_same_with_types(tmp_path):
    table = pq.read_table(written(tmp_path / "out.PARQUET"))
    assert {field.name: str(field.type) for field in table.schema} == {
        "path": "string",
        "cluster": "int32",
        "probability": "float",
        "entropy": "float",
    }
    assert table.column("path").to_pylist() == PATHS
    assert table.column("cluster").to_pylist() == [2, 0, 1]
    assert np.array_equal(table.column("probability").to_numpy(), PROBABILITIES.max(axis=1))
    np.testing.assert_allclose(table.column("entropy").to_numpy(), entropies(), rtol=1e-6)


def test_names_are_a_column_where_there_are_names(tmp_path):
    with written(tmp_path / "out.csv", NAMES).open(newline="", encoding="utf-8") as stream:
        assert [row["name"] for row in csv.DictReader(stream)] == ["dog", "it's, a cat", ""]
    table = pq.read_table(written(tmp_path / "out.parquet", NAMES))
    assert table.column("name").to_pylist() == ["dog", "it's, a cat", None]


def test_without_a_file_the_table_goes_to_standard_output(capsys):
    written(None, NAMES)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "path,cluster,probability,entropy,name"
    assert lines[-1].startswith("c.png,1,0.4,")


@pytest.mark.parametrize("name", ["out.csv", "out.parquet"])
def test_an_error_leaves_the_old_file_and_nothing_beside(tmp_path, name):
    (tmp_path / name).write_text("old")

    def interrupted():
        with open_table(tmp_path / name, None) as table:
            fill(table)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "old"


@pytest.mark.parametrize("name", ["out.txt", "out", "out.csv.gz"])
def test_other_extensions_are_refused(tmp_path, name):
    with pytest.raises(UserError, match=r"--output .*: allowed are files that end in \.csv, \.parquet"):
        check_output(tmp_path / name, (".csv", ".parquet"), tmp_path / "model")


def test_folders_and_the_folder_of_the_classifier_are_refused(tmp_path, monkeypatch):
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(UserError, match=r"folder\.csv: is a folder"):
        check_output(tmp_path / "folder.csv", (".csv",), tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="lies in the folder of the classifier"):
        check_output(tmp_path / "model" / "out.csv", (".csv",), type(tmp_path)("model"))
    check_output(tmp_path / "models.csv", (".csv",), tmp_path / "model")
