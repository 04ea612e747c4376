import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline_lib.base.errors import MissingFileError, UserError
from pipeline_lib.images.sources.records import Record
from pipeline_lib.images.sources.registry import open_source


@pytest.fixture
def table(tmp_path: Path) -> Callable[..., Path]:
    def write(name: str = "images.parquet", metadata: dict[str, Any] | None = None, **columns: Any) -> Path:
        made = pa.table(columns)
        if metadata:
            made = made.replace_schema_metadata({"huggingface": json.dumps(metadata)})
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(made, tmp_path / "set" / name)
        return tmp_path / "set"

    return write


def facts(record: Record) -> tuple[str, bytes | None, int | None, str | None]:
    return record.split, record.image, record.label, record.class_name


def test_all_columns(table: Callable[..., Path]) -> None:
    root = table(
        image=[b"a", b"b", b"c", b"d"],
        label=pa.array([1, 0, None, -1], pa.int32()),
        label_name=["dog", "cat", None, None],
        split=["train", "test", "training", "train"],
    )
    source = open_source("parquet", root)
    assert source.counts == {"train": 3, "val": 1}
    assert source.class_names == ("cat", "dog")
    assert [facts(record) for record in source.records()] == [
        ("train", b"a", 1, "dog"),
        ("val", b"b", 0, "cat"),
        ("train", b"c", None, None),
        ("train", b"d", None, None),
    ]
    assert [record.origin for record in source.records()][3] == "images.parquet row 3"


def test_images_alone(table: Callable[..., Path]) -> None:
    source = open_source("parquet", table(image=[b"a", b"b"]))
    assert [facts(record) for record in source.records()] == [("train", b"a", None, None), ("train", b"b", None, None)]
    assert source.class_names is None
    assert source.counts == {"train": 2}


def test_hugging_face_structs_names_and_files(table: Callable[..., Path]) -> None:
    struct = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    metadata = {"info": {"features": {"image": {}, "label": {"names": ["cat", "dog", "emu"], "_type": "ClassLabel"}}}}
    for name, image in (("train-00000-of-00001", b"t"), ("validation-00000-of-00001", b"v"), ("test-0", b"x")):
        images = pa.array([{"bytes": image, "path": None}], struct)
        root = table(f"data/{name}.parquet", metadata, image=images, label=pa.array([1], pa.int64()))
    source = open_source("parquet", root)
    assert source.counts == {"train": 1, "val": 1, "test": 1}
    assert source.class_names == ("cat", "dog", "emu")
    assert sorted(facts(record) for record in source.records()) == [
        ("test", b"x", 1, "dog"),
        ("train", b"t", 1, "dog"),
        ("val", b"v", 1, "dog"),
    ]


def test_names_without_numbers_and_numbers_without_names(table: Callable[..., Path]) -> None:
    source = open_source("parquet", table(image=[b"a", b"b", b"c"], label_name=["emu", "cat", None]))
    assert [(record.label, record.class_name) for record in source.records()] == [(1, "emu"), (0, "cat"), (None, None)]
    source = open_source("parquet", table(image=[b"a", b"b"], label=[2, 0]))
    assert source.class_names == ("0", "1", "2")
    assert [record.label for record in source.records()] == [2, 0]


@pytest.mark.parametrize(
    ("name", "split"), [("cifar10train", "train"), ("my_TEST", "val"), ("x-valid", "val"), ("latest", "train")]
)
def test_split_from_the_file_name(table: Callable[..., Path], name: str, split: str) -> None:
    table("0-train.parquet", image=[b"a"])
    source = open_source("parquet", table(f"{name}.parquet", image=[b"b"]))
    assert [record.split for record in source.records() if record.image == b"b"] == [split]


def test_null_images_come_as_undecodable_ones(table: Callable[..., Path]) -> None:
    source = open_source("parquet", table(image=pa.array([None, b"a"], pa.binary())))
    assert [record.image for record in source.records()] == [b"", b"a"]


def test_problems_are_named(table: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"no \*\.parquet file there"):
        open_source("parquet", tmp_path)
    with pytest.raises(UserError, match="expected a column image, found img, label"):
        open_source("parquet", table(img=[b"a"], label=[1]))
    with pytest.raises(UserError, match=r"expected column image to be binary .* found string"):
        open_source("parquet", table(image=["a"]))
    with pytest.raises(UserError, match="expected column label to be integer, found string"):
        open_source("parquet", table(image=[b"a"], label=["1"]))
    with pytest.raises(UserError, match="column split: got 'extra'"):
        open_source("parquet", table(image=[b"a"], split=["extra"]))
    with pytest.raises(UserError, match="found 'a' and 'b' for 1"):
        open_source("parquet", table(image=[b"a", b"b"], label=[1, 1], label_name=["a", "b"]))
    with pytest.raises(UserError, match="expected a train split, found only test"):
        open_source("parquet", table(image=[b"a"], split=["test"]))
    root = table(image=[b"a"])
    (root / "images.parquet").rename(root / "train_and_test.parquet")
    with pytest.raises(UserError, match="speaks of test and train"):
        open_source("parquet", root)
    (root / "train_and_test.parquet").write_bytes(b"PAR1 nonsense")
    with pytest.raises(UserError, match="not a Parquet file"):
        open_source("parquet", root)


def test_real_files(real_data_dir: Path) -> None:
    root = real_data_dir / "caltech10-small"
    source = open_source("parquet", root)
    assert source.counts == {"train": 600, "val": 300}
    assert source.class_names == tuple(json.loads((root / "classes.json").read_text()))
    found = [(record.split, record.label) for record in source.records()]
    for split, count in (("train", 60), ("val", 30)):
        assert np.bincount([label or 0 for name, label in found if name == split]).tolist() == [count] * 10
