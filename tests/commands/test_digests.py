"""Digests of results: what counts, what differs, and what is refused."""

import json
import sys

import pytest

from commands.digests import main
from pipeline_lib.base.errors import MissingFileError, UserError


@pytest.fixture
def run(monkeypatch, tmp_path, capsys):
    """The command in a folder of its own; gives what it prints."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["digests", *map(str, arguments)])
        main()
        return capsys.readouterr().out

    return call


@pytest.fixture
def results(tmp_path):
    for name, text in {
        "data/raw/set/image": "not a result",
        "data/heads/set/heads.npy": "1",
        "data/heads/set/meta.json": json.dumps({"kind": "heads", "made_by": {"seed": 0}}),
        "metrics/set/heads.json": "{}",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_results_are_compared_by_all_but_who_made_them(run, results):
    before = results / "before"
    before.write_text(run())
    names = ["data/heads/set/heads.npy", "data/heads/set/meta.json", "metrics/set/heads.json"]
    assert [line.split("  ")[1] for line in before.read_text().splitlines()] == names
    (results / names[1]).write_text(json.dumps({"made_by": {"seed": 1}, "kind": "heads"}))
    with pytest.raises(SystemExit, match="0"):
        run("--against", before)


def test_differences_end_with_an_exit_code(run, results, capsys):
    before = results / "before"
    before.write_text(run())
    (results / "metrics/set/heads.json").unlink()
    (results / "metrics/set/knn.json").touch()
    (results / "data/heads/set/heads.npy").write_text("2")
    with pytest.raises(SystemExit, match="1"):
        run("--against", before)
    told = capsys.readouterr().out
    assert told == "changed: data/heads/set/heads.npy\ngone: metrics/set/heads.json\nnew: metrics/set/knn.json\n"


def test_a_folder_without_results_is_refused(run):
    with pytest.raises(MissingFileError, match="data, metrics, reports: no results"):
        run()


@pytest.mark.usefixtures("results")
def test_what_holds_no_digests_is_refused_in_one_line(run, tmp_path):
    with pytest.raises(MissingFileError, match=r"--against .*nofile: not found"):
        run("--against", tmp_path / "nofile")
    for text in ("some words\n", "\n", "abc  path\n"):
        (tmp_path / "lines").write_text(text)
        with pytest.raises(UserError, match=r"--against .*lines: line 1 = .*: allowed: a digest") as caught:
            run("--against", tmp_path / "lines")
        assert "\n" not in str(caught.value)
