import json

import pytest

from pipeline_lib.artifacts.class_count import FILE, open_class_count, write_class_count
from pipeline_lib.artifacts.folder import META
from pipeline_lib.base.errors import MissingFileError, UserError

SCORED = {"classes": 3, "candidates": (2, 3, 4), "scores": (0.1, 0.5, 0.25), "spread": (0.0, 0.01, 0.02)}


def test_scores_come_back_as_they_were_written(tmp_path):
    write_class_count(tmp_path / "a", **SCORED, made_by={})
    opened = open_class_count(tmp_path / "a")
    assert {name: getattr(opened, name) for name in SCORED} == SCORED
    assert opened.given is False


def test_a_given_number_has_no_candidates(tmp_path):
    write_class_count(tmp_path / "a", classes=7, made_by={})
    opened = open_class_count(tmp_path / "a")
    assert (opened.classes, opened.given, opened.candidates) == (7, True, ())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": 9}, r"classes = 9: .* one of the candidates \[2, 3, 4\]"),
        ({"classes": 1, "candidates": (), "scores": (), "spread": ()}, "classes = 1: at least 2"),
        ({"scores": (0.1, 0.5)}, "scores of 3 candidates"),
        ({"scores": (0.1, float("nan"), 0.2)}, "one finite score"),
    ],
)
def test_writing_refuses_what_does_not_fit(tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        write_class_count(tmp_path / "a", **(SCORED | changes), made_by={})
    assert not (tmp_path / "a").exists()


def test_opening_refuses_absent_and_damaged_artifacts(tmp_path):
    with pytest.raises(MissingFileError):
        open_class_count(tmp_path / "a")
    write_class_count(tmp_path / "a", **SCORED, made_by={})
    path = tmp_path / "a" / FILE
    size = path.stat().st_size
    path.write_text(json.dumps({"classes": 3}).ljust(size))
    assert json.loads((tmp_path / "a" / META).read_text())["files"][FILE]["bytes"] == size
    with pytest.raises(UserError, match=r"classes\.json: not readable"):
        open_class_count(tmp_path / "a")
