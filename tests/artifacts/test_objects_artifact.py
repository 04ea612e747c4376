from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from objects_kit import write_objects

from pipeline_lib.artifacts.objects import ObjectsWriter, decoded_png, encoded_png, open_objects
from pipeline_lib.base.errors import MissingFileError, UserError


def row(id: int, label: int, box: tuple[float, ...] = (0, 0, 2, 3), mask: np.ndarray | None = None) -> dict[str, Any]:
    sides = dict(zip(("x0", "y0", "x1", "y1"), box, strict=True))
    encoded = None if mask is None else encoded_png(mask)
    facts = {"difficult": label == 1, "crowd": label == 2, "mask": encoded}
    return {"id": id, "split": "train", "label": label, **sides, **facts}


def test_objects_come_back_by_image_in_the_order_of_writing(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    masks = [rng.random((5, 7)) < 0.5 for _ in range(3)]
    segmentation = rng.choice(np.array([0, 1, 3, 255], dtype=np.uint8), size=(5, 7))
    rows = [row(9, 2, (1.5, 0, 2.25, 3), masks[0]), row(4, 0), row(9, 1, mask=masks[1]), row(4, 2, mask=masks[2])]
    maps = [{"id": 4, "split": "train", "map": encoded_png(segmentation)}]
    write_objects(tmp_path / "objects", rows, maps, ["a", "b", "c"], {"stage": "test"})
    objects = open_objects(tmp_path / "objects")
    assert (len(objects), objects.class_names) == (4, ("a", "b", "c"))
    nine = objects.of(9)
    assert nine.boxes.tolist() == [[1.5, 0, 2.25, 3], [0, 0, 2, 3]]
    assert (nine.boxes.dtype, nine.labels.dtype) == (np.float32, np.int32)
    assert (nine.labels.tolist(), nine.difficult.tolist(), nine.crowd.tolist()) == (
        [2, 1],
        [False, True],
        [True, False],
    )
    assert nine.masks is not None
    assert (nine.masks == np.stack(masks[:2])).all()
    # One of the two objects has no mask.
    assert objects.of(4).masks is None
    assert objects.of(5).boxes.shape == (0, 4)
    assert objects.with_segmentation([9, 4, 5]) == [4]
    found = objects.segmentation(4)
    assert found is not None
    assert (found == segmentation).all()
    assert objects.segmentation(9) is None


def test_a_data_set_without_objects_is_refused_where_they_are_needed(tmp_path: Path) -> None:
    write_objects(tmp_path / "objects", [], [], [], {})
    objects = open_objects(tmp_path / "objects")
    assert (len(objects), objects.class_names, objects.of(0).labels.tolist()) == (0, (), [])
    with pytest.raises(UserError, match="the data set has no boxes, which detection needs"):
        objects.require("detection")


def test_more_rows_than_a_row_group_holds_and_equal_bytes(tmp_path: Path) -> None:
    for name in ("first", "second"):
        write_objects(tmp_path / name, (row(id // 2, id % 3) for id in range(9001)), [], ["a", "b", "c"], {})
    file = "objects.parquet"
    assert pq.ParquetFile(tmp_path / "first" / file).num_row_groups == 3
    assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes()
    objects = open_objects(tmp_path / "first")
    assert len(objects) == 9001
    assert objects.of(4000).labels.tolist() == [8000 % 3, 8001 % 3]


def test_a_failed_writer_leaves_the_artifact_that_was_there(tmp_path: Path) -> None:
    write_objects(tmp_path / "objects", [row(0, 0)], [], ["a"], {})

    def write_and_fail() -> None:
        with ObjectsWriter(tmp_path / "objects", ["a"], {}) as writer:
            writer.add_object(row(0, 1))
            raise KeyError("stop")

    with pytest.raises(KeyError, match="stop"):
        write_and_fail()
    assert open_objects(tmp_path / "objects").of(0).labels.tolist() == [0]
    assert [path.name for path in tmp_path.iterdir()] == ["objects"]
    with pytest.raises(MissingFileError, match="no objects artifact here"):
        open_objects(tmp_path / "nowhere")


@pytest.mark.parametrize("kind", [np.bool_, np.uint8])
def test_png_keeps_every_value(kind: Any) -> None:
    values = np.arange(256).reshape(16, 16).astype(kind)
    assert (decoded_png(encoded_png(values)) > 0).tolist() == (values > 0).tolist()
    if kind is np.uint8:
        assert (decoded_png(encoded_png(values)) == values).all()
