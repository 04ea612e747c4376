import pytest

from pipeline_lib.artifacts.metrics import read_metrics
from pipeline_lib.base.errors import MissingFileError, UserError


def test_files_are_merged_and_optional_ones_may_be_absent(tmp_path):
    (tmp_path / "ucls.json").write_text('{"a": 1, "b": 2}')
    assert read_metrics(tmp_path, ["ucls"], ["bounds"]) == {"a": 1, "b": 2}
    (tmp_path / "bounds.json").write_text('{"b": 3}')
    assert read_metrics(tmp_path, ["ucls"], ["bounds"]) == {"a": 1, "b": 3}


def test_absent_and_damaged_metrics_are_named(tmp_path):
    with pytest.raises(MissingFileError, match=r"ucls\.json"):
        read_metrics(tmp_path, ["ucls"])
    for content in ("{", "[1]"):
        (tmp_path / "ucls.json").write_text(content)
        with pytest.raises(UserError, match=r"ucls\.json"):
            read_metrics(tmp_path, ["ucls"])
