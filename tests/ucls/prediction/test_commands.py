"""The commands of ``python -m pipeline_lib``, as a user calls them."""

import csv
import re
import subprocess
import sys

import pyarrow.parquet as pq
import pytest

from pipeline_lib.__main__ import main
from pipeline_lib.ucls.prediction import predict as prediction


def rows(text):
    return list(csv.DictReader(text.splitlines()))


def predict(trained, *arguments):
    main(["predict", "--model", str(trained.folder), "--workers", "0", "--device", "cpu", *map(str, arguments)])


def fails(capsys, *arguments):
    """The one line of a command that ends with exit code 1."""
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    assert isinstance(caught.value.code, str), "the interpreter prints a text and exits with 1"
    assert caught.value.code.startswith("error: ")
    assert "\n" not in caught.value.code
    assert capsys.readouterr().out == ""
    return caught.value.code


def test_predictions_go_to_standard_output_and_all_else_to_standard_error(pixels, tmp_path, capsys):
    broken = tmp_path / "broken.png"
    broken.write_text("no image")
    (tmp_path / "empty").mkdir()
    predict(pixels, pixels.photos, broken, tmp_path / "empty")
    captured = capsys.readouterr()
    assert [row["path"] for row in rows(captured.out)] == [str(path) for path in sorted(pixels.photos.iterdir())]
    lines = captured.err.splitlines()
    assert lines[0] == f"warning: {tmp_path / 'empty'}: no image in it"
    assert lines[1] == f"warning: {broken}: cannot be decoded (no known image format); left out"
    assert lines[2].startswith("7 images predicted, 1 left out, ")
    assert len(lines) == 3


def test_files_of_both_formats_hold_the_same(pixels, tmp_path, capsys):
    (tmp_path / "names.yaml").write_text("{0: red, 1: green}")
    for name in ("out.csv", "out.parquet"):
        predict(pixels, pixels.photos, "--output", tmp_path / name, "--names", tmp_path / "names.yaml")
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.rstrip().endswith(f"written to {tmp_path / name}")
    table = pq.read_table(tmp_path / "out.parquet").to_pylist()
    lines = rows((tmp_path / "out.csv").read_text())
    assert [row["name"] for row in lines] == [{"0": "red", "1": "green"}.get(row["cluster"], "") for row in lines]
    assert {row["name"] for row in lines} == {"red", "green", ""}
    assert [(row["path"], str(row["cluster"]), row["name"] or "") for row in table] == [
        (row["path"], row["cluster"], row["name"]) for row in lines
    ]


def test_what_the_user_can_mend_is_one_line(pixels, tmp_path, capsys):
    model = ("--model", pixels.folder)
    assert "no classifier artifact here" in fails(capsys, "predict", "--model", tmp_path, pixels.photos)
    assert "allowed are files that end in .csv" in fails(capsys, "predict", *model, "x", "--output", "x.txt")
    assert "no image in it" in fails(capsys, "predict", *model, tmp_path)
    assert "no such file or folder" in fails(capsys, "predict", *model, tmp_path / "absent")
    assert "absent.yaml: no such file" in fails(capsys, "predict", *model, "x", "--names", "absent.yaml")
    assert "end in .onnx" in fails(capsys, "export", *model, "--output", "x.pt")
    assert "--opset 3: allowed" in fails(
        capsys, "export", *model, "--output", tmp_path / "x.onnx", "--opset", 3, "--without-backbone"
    )
    assert list(tmp_path.iterdir()) == []


def test_nothing_readable_leaves_no_file(pixels, tmp_path):
    (tmp_path / "broken.png").write_text("no image")
    with pytest.raises(SystemExit, match=r"^error: none of the 1 images can be used$"):
        predict(pixels, tmp_path / "broken.png", "--output", tmp_path / "out.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["broken.png"]


@pytest.mark.parametrize("option", [("--batch-size", "0"), ("--workers", "-1"), ("--precision", "int8")])
def test_impossible_options_are_refused_by_the_parser(option, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["predict", "--model", "m", "x", *option])
    assert caught.value.code == 2
    assert option[0] in capsys.readouterr().err


def test_an_interruption_ends_with_one_line_and_exit_code_130(pixels, tmp_path, capsys, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(prediction, "batch_features", interrupted)
    with pytest.raises(SystemExit) as caught:
        predict(pixels, pixels.photos, "--output", tmp_path / "out.csv")
    assert caught.value.code == 130
    assert capsys.readouterr().err == "interrupted; no output file was written\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_export_says_where_it_is_and_how_close(pixels, tmp_path, capsys):
    path = tmp_path / "head.onnx"
    main(["export", "--model", str(pixels.folder), "--without-backbone", "--output", str(path)])
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"written to {path}, described in {tmp_path / 'head.json'}; onnxruntime gives")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["head.json", "head.onnx"]


def test_a_names_file_is_written_with_examples_and_not_written_over(pixels, tmp_path, capsys):
    arguments = ["names", "--model", str(pixels.folder), "--output", str(tmp_path / "names.yaml")]
    main(arguments)
    text = (tmp_path / "names.yaml").read_text()
    assert len(re.findall(r"; (train|val), id \d+", text)) == 9
    assert "fill it in" in capsys.readouterr().err
    (tmp_path / "names.yaml").write_text("0: red")
    assert "--overwrite replaces it" in fails(capsys, *arguments)
    main([*arguments, "--overwrite"])
    assert (tmp_path / "names.yaml").read_text() == text


def test_a_template_goes_to_standard_output_and_says_why_it_has_no_examples(pixels, tmp_path, capsys):
    moved = tmp_path / "elsewhere" / "c"
    moved.parent.mkdir()
    moved.symlink_to(pixels.folder)
    main(["names", "--model", str(moved)])
    captured = capsys.readouterr()
    assert [line.split(":")[0] for line in captured.out.splitlines()[2:]] == ["0", "1", "2"]
    assert "id" not in captured.out.split("\n", 2)[2]
    assert "--dataset names the data set's folder" in captured.err


@pytest.mark.slow
def test_help_is_there_without_the_heavy_libraries():
    code = """
import sys
from pipeline_lib.__main__ import main
try:
    main(["predict", "--help"])
finally:
    print("torch" in sys.modules)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0
    assert "--unreadable" in result.stdout
    assert result.stdout.splitlines()[-1] == "False"
