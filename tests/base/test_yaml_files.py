import pytest

from pipeline_lib.base.errors import MissingFileError, UserError
from pipeline_lib.base.yaml_files import parsed_yaml, read_yaml


def test_a_content_that_was_changed_is_read_again_as_it_is():
    text = "section: {list: [1, 2], rate: 1e-05}\n"
    first = parsed_yaml(text)
    assert first == {"section": {"list": [1, 2], "rate": 1e-5}}
    first["section"]["list"].append(3)
    del first["section"]["rate"]
    assert parsed_yaml(text) == {"section": {"list": [1, 2], "rate": 1e-5}}


def test_a_file_that_has_changed_is_read_anew(tmp_path):
    path = tmp_path / "file.yaml"
    for value in (1, 2):
        path.write_text(f"a: {value}\n")
        assert read_yaml(path) == {"a": value}


def test_absent_and_broken_files_are_refused_in_one_line_each_time(tmp_path):
    with pytest.raises(MissingFileError, match=r"file\.yaml: not found"):
        read_yaml(tmp_path / "file.yaml")
    (tmp_path / "file.yaml").write_text("a: [1")
    for _ in range(2):
        with pytest.raises(UserError, match=r"file\.yaml: not valid YAML") as caught:
            read_yaml(tmp_path / "file.yaml")
        assert "\n" not in str(caught.value)
    (tmp_path / "file.yaml").write_bytes(b"a: \xff")
    with pytest.raises(UserError, match=r"file\.yaml: not text"):
        read_yaml(tmp_path / "file.yaml")
