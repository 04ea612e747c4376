import json
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

from pipeline_lib.artifacts.folder import (
    META,
    file_digest,
    new_folder,
    open_array,
    read_meta,
    read_origin,
    repository_root,
    write_atomically,
    write_json,
    write_meta,
)
from pipeline_lib.base.errors import MissingFileError, UserError

SECOND_WRITER = """
import sys
from pathlib import Path
from pipeline_lib.artifacts.folder import new_folder
from pipeline_lib.base.errors import UserError
try:
    with new_folder(Path(sys.argv[1])):
        pass
except UserError as error:
    print(error)
"""
KILLED_WRITER = """
import os, signal, sys
from pathlib import Path
from pipeline_lib.artifacts.folder import new_folder
with new_folder(Path(sys.argv[1])):
    os.kill(os.getpid(), signal.SIGKILL)
"""
VALUES = np.arange(6, dtype=np.float32).reshape(2, 3)


def write(target, values=VALUES, kind="features", schema=3):
    with new_folder(target) as temporary:
        np.save(temporary / "values.npy", values)
        write_meta(temporary, kind, schema, {"stage": "extract", "settings": {"seed": 0}}, {"splits": ["train"]})


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_an_artifact_appears_whole_and_nothing_is_left_beside_it(tmp_path):
    target = tmp_path / "deep" / "features"
    with new_folder(target) as temporary:
        np.save(temporary / "values.npy", VALUES)
        assert not target.exists()
    assert [path.name for path in target.parent.iterdir()] == ["features"]
    assert [path.name for path in target.iterdir()] == ["values.npy"]


def test_a_new_artifact_takes_the_place_of_all_files_of_the_old_one(tmp_path):
    target = tmp_path / "features"
    write(target)
    (target / "stray.txt").write_text("of an older version")
    write(target, VALUES + 1)
    assert sorted(contents(target)) == [META, "values.npy"]
    np.testing.assert_array_equal(np.load(target / "values.npy"), VALUES + 1)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_after_an_exception_the_old_artifact_is_there_unchanged(tmp_path, error):
    target = tmp_path / "features"
    write(target)
    before = contents(target)

    def interrupted():
        with new_folder(target) as temporary:
            np.save(temporary / "values.npy", VALUES + 1)
            raise error

    with pytest.raises(error):
        interrupted()
    assert contents(target) == before
    assert [path.name for path in tmp_path.iterdir()] == ["features"]


def test_what_a_killed_writer_left_is_not_taken_over(tmp_path):
    target = tmp_path / "features"
    with new_folder(target) as temporary:
        (temporary / "half.npy").write_bytes(b"half")
        left = tmp_path / "kept"
        shutil.copytree(temporary, left)
        name = temporary.name
    shutil.rmtree(target)
    left.rename(tmp_path / name)
    write(target)
    assert sorted(contents(target)) == [META, "values.npy"]


def test_written_again_the_files_are_byte_equal(tmp_path):
    write(tmp_path / "first")
    write(tmp_path / "second")
    assert contents(tmp_path / "first") == contents(tmp_path / "second")


def test_meta_describes_every_file_also_in_subfolders(tmp_path):
    with new_folder(tmp_path / "a") as temporary:
        (temporary / "table").mkdir()
        (temporary / "table" / "part.csv").write_text("a,b\n")
        np.save(temporary / "values.npy", VALUES)
        write_meta(temporary, "features", 1, {"stage": "extract"}, {"classes": 10})
    meta = read_meta(tmp_path / "a", "features", 1)
    assert meta["classes"] == 10
    assert meta["made_by"]["stage"] == "extract"
    assert meta["made_by"]["packages"]["numpy"] == np.__version__
    assert meta["files"]["table/part.csv"]["bytes"] == 4
    values = tmp_path / "a" / "values.npy"
    assert meta["files"]["values.npy"] == {
        "bytes": values.stat().st_size,
        "blake2b": file_digest(values),
        "shape": [2, 3],
        "dtype": "float32",
    }


def refused(error, folder, kind="features", schema=3):
    with pytest.raises(error) as caught:
        read_meta(folder, kind, schema)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_file_cut_short_is_refused_with_both_sizes(tmp_path):
    write(tmp_path / "a")
    path = tmp_path / "a" / "values.npy"
    whole = path.read_bytes()
    path.write_bytes(whole[:-4])
    message = refused(UserError, tmp_path / "a")
    assert message.startswith(f"{path}: ")
    assert f"expected {len(whole)} bytes, found {len(whole) - 4} bytes" in message


def test_an_absent_file_is_refused_by_name(tmp_path):
    write(tmp_path / "a")
    (tmp_path / "a" / "values.npy").unlink()
    message = refused(UserError, tmp_path / "a")
    assert message.startswith(f"{tmp_path / 'a' / 'values.npy'}: ")
    assert "found no file" in message


def test_another_kind_or_schema_is_refused(tmp_path):
    write(tmp_path / "a")
    assert "kind 'heads', found 'features'" in refused(UserError, tmp_path / "a", kind="heads")
    message = refused(UserError, tmp_path / "a", schema=4)
    assert "expected schema 4, found 3" in message
    assert message.startswith(f"{tmp_path / 'a' / META}: ")


def test_a_missing_artifact_says_how_to_make_it(tmp_path):
    message = refused(MissingFileError, tmp_path / "absent")
    assert message.startswith(f"{tmp_path / 'absent' / META}: no features artifact")
    assert "dvc repro" in message


@pytest.mark.parametrize("text", ["", '{"kind": "features", "sch', "[]", '{"kind": "features", "schema": 3}'])
def test_a_damaged_meta_file_is_refused(tmp_path, text):
    write(tmp_path / "a")
    (tmp_path / "a" / META).write_text(text)
    assert refused(UserError, tmp_path / "a").startswith(f"{tmp_path / 'a' / META}: ")


def test_arrays_open_memory_mapped_and_cannot_be_written(tmp_path):
    write(tmp_path / "a")
    array = open_array(tmp_path / "a", "values.npy", ["float32"], (None, 3))
    assert isinstance(array, np.memmap)
    np.testing.assert_array_equal(array, VALUES)
    with pytest.raises(ValueError, match="read-only"):
        array[0, 0] = 1
    assert not isinstance(open_array(tmp_path / "a", "values.npy", ["float32"], (2, 3), mmap=False), np.memmap)


@pytest.mark.parametrize(
    ("dtypes", "shape", "wanted"),
    [
        (["float16"], (2, 3), "expected float16 (2, 3)"),
        (["float16", "int8"], (2, 3), "expected float16 or int8 (2, 3)"),
        (["float32"], (None, 4), "expected float32 ('any', 4)"),
        (["float32"], (6,), "expected float32 (6,)"),
        (["float32"], (2, 3, None), "expected float32 (2, 3, 'any')"),
    ],
)
def test_another_dtype_or_shape_is_refused_with_both(tmp_path, dtypes, shape, wanted):
    write(tmp_path / "a")
    with pytest.raises(UserError) as caught:
        open_array(tmp_path / "a", "values.npy", dtypes, shape)
    assert str(caught.value) == f"{tmp_path / 'a' / 'values.npy'}: {wanted}, found float32 (2, 3)"


def test_an_absent_array_is_refused_by_name(tmp_path):
    with pytest.raises(MissingFileError, match=r"absent\.npy: not found"):
        open_array(tmp_path, "absent.npy", ["float32"], (1,))


def test_small_files_are_replaced_and_keep_the_order_of_keys(tmp_path):
    path = tmp_path / "metrics" / "run" / "knn.json"
    write_json(path, {"b": 1, "a": "Zürich"})
    write_json(path, {"b": 2, "a": "Zürich"})
    assert path.read_bytes() == '{\n  "b": 2,\n  "a": "Zürich"\n}\n'.encode()
    write_atomically(path, b"\x00")
    assert path.read_bytes() == b"\x00"
    assert [entry.name for entry in path.parent.iterdir()] == ["knn.json"]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_measures_that_json_has_no_word_for_are_refused_and_the_old_file_stays(tmp_path, value):
    path = tmp_path / "measures.json"
    write_json(path, {"loss": 1.0})
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"loss": value})
    assert json.loads(path.read_text()) == {"loss": 1.0}


def test_equal_digests_mean_equal_bytes(tmp_path):
    for name, content in (("a", b"x" * 100), ("b", b"x" * 100), ("c", b"x" * 99 + b"y")):
        (tmp_path / name).write_bytes(content)
    assert file_digest(tmp_path / "a") == file_digest(tmp_path / "b") != file_digest(tmp_path / "c")


def test_the_main_workspace_is_the_root_inside_a_temporary_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    assert repository_root().resolve() == tmp_path.resolve()
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "main"))
    assert repository_root() == tmp_path / "main"


def test_origin_is_what_meta_records(tmp_path):
    (tmp_path / "meta.json").write_text(json.dumps({"kind": "x", "made_by": {"stage": "s"}}))
    assert read_origin(tmp_path) == {"stage": "s"}


def test_absent_and_damaged_origins_are_named(tmp_path):
    with pytest.raises(MissingFileError, match=r"meta\.json"):
        read_origin(tmp_path)
    for content in ("{", "[]", "{}", '{"made_by": 3}'):
        (tmp_path / "meta.json").write_text(content)
        with pytest.raises(UserError, match=r"meta\.json"):
            read_origin(tmp_path)


def test_a_second_writer_ends_with_one_line_and_the_first_goes_on(tmp_path):
    target = tmp_path / "features"
    with new_folder(target) as temporary:
        np.save(temporary / "values.npy", VALUES)
        refused = subprocess.run(
            [sys.executable, "-c", SECOND_WRITER, str(target)], capture_output=True, text=True, check=False
        )
        assert "another process is writing it" in refused.stdout
        assert temporary.is_dir()
    assert [path.name for path in target.parent.iterdir()] == ["features"]
    np.testing.assert_array_equal(np.load(target / "values.npy"), VALUES)


def test_a_killed_writer_keeps_nobody_out(tmp_path):
    target = tmp_path / "features"
    killed = subprocess.run([sys.executable, "-c", KILLED_WRITER, str(target)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert (tmp_path / ".features.writing").is_dir()
    write(target)
    assert [path.name for path in target.parent.iterdir()] == ["features"]


def test_an_artifact_whose_file_vanishes_before_the_end_takes_no_place(tmp_path):
    target = tmp_path / "features"
    write(target)
    before = contents(target)

    def damaged():
        with new_folder(target) as temporary:
            np.save(temporary / "values.npy", VALUES + 1)
            write_meta(temporary, "features", 3, {}, {})
            (temporary / "values.npy").unlink()

    with pytest.raises(UserError, match="no file"):
        damaged()
    assert contents(target) == before


def test_a_folder_that_was_removed_is_not_described(tmp_path):
    with pytest.raises(MissingFileError, match="removed while"):
        write_meta(tmp_path / "gone", "features", 3, {}, {})
    assert not (tmp_path / "gone").exists()
