import json
import os
import pickle
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline_lib.artifacts import dataset as dataset_module
from pipeline_lib.artifacts import dataset_writer
from pipeline_lib.artifacts.dataset import COLUMNS, open_dataset
from pipeline_lib.artifacts.dataset_writer import DatasetWriter
from pipeline_lib.base.errors import MissingFileError, UserError


@pytest.fixture
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset_writer, "_GROUP_ROWS", 4)


def content(id: int) -> bytes:
    return f"image {id}".encode()


def write_embedded(folder: Path) -> None:
    """Ten train images (odd ids and 20), three val images, mixed; labels known for some of train only."""
    with DatasetWriter(folder, ["cat", "dog"], None, {"stage": "prepare", "seed": 1}) as writer:
        for id in range(19):
            if id % 2:
                label = id % 4 // 2 if id > 4 else None
                name = None if label is None else ("cat", "dog")[label]
                writer.add(id, "train", image=content(id), label=label, class_name=name)
            elif id < 6:
                writer.add(id, "val", image=content(id))
        writer.add(20, "train", image=content(20))


def write_descending(folder: Path) -> None:
    with DatasetWriter(folder, None, None, {}) as writer:
        writer.add(1, "train", image=b"x")
        writer.add(0, "train", image=b"x")


TRAIN_IDS = [*range(1, 19, 2), 20]


@pytest.mark.usefixtures("small_groups")
def test_rows_are_ordered_by_split_then_id(tmp_path: Path) -> None:
    write_embedded(tmp_path / "out")
    dataset = open_dataset(tmp_path / "out")
    assert dataset.splits == {"train": 10, "val": 3}
    assert dataset.class_names == ("cat", "dog")
    assert dataset.root is None
    assert dataset.ids("train").tolist() == TRAIN_IDS
    assert dataset.ids("train").dtype == np.int64
    assert dataset.ids("val").tolist() == [0, 2, 4]
    table = pq.read_table(tmp_path / "out" / "images.parquet")
    assert table.schema.remove_metadata() == COLUMNS
    assert table.column("split").to_pylist() == ["train"] * 10 + ["val"] * 3
    assert table.column("id").to_pylist() == [*TRAIN_IDS, 0, 2, 4]


@pytest.mark.usefixtures("small_groups")
def test_oracle_labels(tmp_path: Path) -> None:
    write_embedded(tmp_path / "out")
    dataset = open_dataset(tmp_path / "out")
    labels = dataset.oracle_labels("train")
    assert labels is not None
    assert labels.dtype == np.int32
    assert labels.tolist() == [-1, -1, 0, 1, 0, 1, 0, 1, 0, -1]
    assert dataset.oracle_labels("val") is None


@pytest.mark.usefixtures("small_groups")
def test_every_range_of_images(tmp_path: Path) -> None:
    write_embedded(tmp_path / "out")
    dataset = open_dataset(tmp_path / "out")
    for start in range(11):
        for stop in range(start, 11):
            expected = [(row, content(TRAIN_IDS[row])) for row in range(start, stop)]
            assert list(dataset.images("train", start, stop)) == expected
    assert list(dataset.images("val", 1, 3)) == [(1, content(2)), (2, content(4))]
    assert [dataset.image("train", row) for row in (9, 0, 5)] == [content(20), content(1), content(11)]
    assert dataset.name("val", 2) == "val, id 4"


@pytest.mark.usefixtures("small_groups")
def test_only_the_groups_needed_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_embedded(tmp_path / "out")
    read = []

    class Watched(pq.ParquetFile):
        def read_row_group(self, number: int, **options: object) -> object:
            read.append(number)
            return super().read_row_group(number, **options)

    monkeypatch.setattr(dataset_module.pq, "ParquetFile", Watched)
    dataset = open_dataset(tmp_path / "out")
    list(dataset.images("train", 5, 9))
    list(dataset.images("train", 6, 7))
    list(dataset.images("val", 0, 3))
    assert read == [1, 2, 3]


def test_groups_are_cut_by_rows_and_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset_writer, "_GROUP_BYTES", 100)
    with DatasetWriter(tmp_path / "out", None, None, {}) as writer:
        for id in range(6):
            writer.add(id, "train", image=b"x" * 40)
        for id in range(6, 2056 + 6):
            writer.add(id, "val", image=b"")
    footer = pq.ParquetFile(tmp_path / "out" / "images.parquet").metadata
    assert [footer.row_group(number).num_rows for number in range(footer.num_row_groups)] == [3, 3, 2048, 8]
    assert footer.row_group(0).column(0).compression == "ZSTD"


def test_cache_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset_writer, "_GROUP_ROWS", 2)
    monkeypatch.setattr(dataset_module, "_CACHED_BYTES", 3000)
    with DatasetWriter(tmp_path / "out", None, None, {}) as writer:
        for id in range(20):
            writer.add(id, "train", image=os.urandom(500))
    dataset = open_dataset(tmp_path / "out")
    for _ in dataset.images("train", 0, 20):
        assert sum(table.nbytes for table in dataset._cache.values()) <= 3000
    assert len(dataset._cache) == 2


def test_paths_are_relative_to_a_root_inside_the_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = tmp_path / "main"
    (workspace / "raw" / "a").mkdir(parents=True)
    (workspace / "raw" / "a" / "1.png").write_bytes(b"x")
    monkeypatch.chdir(workspace)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    with DatasetWriter(Path("out"), None, workspace / "raw", {}) as writer:
        writer.add(0, "train", path="a/1.png")
    assert json.loads(Path("out/meta.json").read_text())["root"] == "raw"
    dataset = open_dataset(Path("out"))
    assert dataset.image("train", 0) == workspace / "raw" / "a" / "1.png"
    assert dataset.name("train", 0) == "a/1.png"
    # A temporary workspace holds the artifact but not the images, which stay in the main one.
    elsewhere = tmp_path / "temporary"
    elsewhere.mkdir()
    (workspace / "out").rename(elsewhere / "out")
    monkeypatch.chdir(elsewhere)
    monkeypatch.setenv("DVC_ROOT", str(workspace))
    assert open_dataset(Path("out")).image("train", 0) == workspace / "raw" / "a" / "1.png"
    with DatasetWriter(Path("again"), None, workspace / "raw", {}) as writer:
        writer.add(0, "train", path="a/1.png")
    assert Path("again/meta.json").read_bytes() == Path("out/meta.json").read_bytes()


def test_root_elsewhere_is_absolute_and_its_loss_is_named(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    with DatasetWriter(tmp_path / "out", None, tmp_path / "raw", {}) as writer:
        writer.add(0, "train", path="1.png")
    dataset = open_dataset(tmp_path / "out")
    assert dataset.image("train", 0) == tmp_path / "raw" / "1.png"
    (tmp_path / "raw").rmdir()
    assert dataset.ids("train").tolist() == [0]
    with pytest.raises(MissingFileError, match=r"raw: the folder with the images of .*out is gone"):
        dataset.image("train", 0)


def test_two_writes_are_byte_equal(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_embedded(tmp_path / name)
    for file in ("images.parquet", "meta.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["images.parquet", "meta.json"]


def test_copies_travel_without_open_files(tmp_path: Path) -> None:
    write_embedded(tmp_path / "out")
    dataset = open_dataset(tmp_path / "out")
    dataset.image("train", 0)
    packed = pickle.dumps(dataset)
    assert len(packed) < 1000
    copy = pickle.loads(packed)
    assert copy.splits == dataset.splits
    assert copy.image("train", 3) == dataset.image("train", 3)


def test_failed_writer_leaves_the_old_artifact(tmp_path: Path) -> None:
    write_embedded(tmp_path / "out")
    with pytest.raises(ValueError, match="ascend"):
        write_descending(tmp_path / "out")
    assert open_dataset(tmp_path / "out").splits == {"train": 10, "val": 3}
    with pytest.raises(ValueError, match="at least one image"), DatasetWriter(tmp_path / "out", None, None, {}):
        pass
    assert open_dataset(tmp_path / "out").splits == {"train": 10, "val": 3}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_wrong_rows_are_refused(tmp_path: Path) -> None:
    with DatasetWriter(tmp_path / "out", None, None, {}) as writer:
        writer.add(4, "train", image=b"x")
        with pytest.raises(ValueError, match="ascend"):
            writer.add(4, "train", image=b"x")
        with pytest.raises(ValueError, match="split must be one of train, val, test, got 'dev'"):
            writer.add(5, "dev", image=b"x")
        for both in ({}, {"image": b"x", "path": "x"}):
            with pytest.raises(ValueError, match="exactly one of image and path"):
                writer.add(6, "train", **both)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="a path needs a root folder"):
            writer.add(6, "train", path="x")
    dataset = open_dataset(tmp_path / "out")
    with pytest.raises(UserError, match="no split 'test'; it has train"):
        dataset.ids("test")
    for start, stop in ((0, 2), (-1, 1), (1, 0)):
        with pytest.raises(IndexError, match="of the 1 of train"):
            list(dataset.images("train", start, stop))


def test_artifacts_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="no dataset artifact"):
        open_dataset(tmp_path / "absent")
    write_embedded(tmp_path / "out")
    meta = json.loads((tmp_path / "out" / "meta.json").read_text())
    meta["splits"]["val"] = 4
    (tmp_path / "out" / "meta.json").write_text(json.dumps(meta))
    with pytest.raises(UserError, match=r"images\.parquet: expected 4 rows of val, found 3"):
        open_dataset(tmp_path / "out").ids("train")
    (tmp_path / "out" / "images.parquet").write_bytes(b"cut")
    with pytest.raises(UserError, match=r"images\.parquet: expected \d+ bytes, found 3 bytes"):
        open_dataset(tmp_path / "out")
