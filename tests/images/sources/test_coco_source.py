import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_masks

from pipeline_lib.base.errors import MissingFileError, UserError
from pipeline_lib.images.sources.annotations import IGNORED
from pipeline_lib.images.sources.registry import open_annotated_source, open_source

CATEGORIES = [{"id": 90, "name": "toothbrush"}, {"id": 3, "name": "car"}, {"id": 13, "name": "stop sign"}]
HEIGHT, WIDTH = 8, 10


def instances(*annotations: dict[str, Any]) -> dict[str, Any]:
    """Two images, of which the second has no objects."""
    images = [{"id": number, "file_name": f"{number:012d}.jpg", "height": HEIGHT, "width": WIDTH} for number in (70, 9)]
    listed = [{"image_id": 70, "iscrowd": 0, "id": number} | entry for number, entry in enumerate(annotations)]
    return {"images": images, "annotations": listed, "categories": CATEGORIES}


def rectangle(x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    mask[y0:y1, x0:x1] = True
    return mask


def polygon(x0: int, y0: int, x1: int, y1: int) -> list[list[int]]:
    return [[x0, y0, x1, y0, x1, y1, x0, y1]]


def run_lengths(mask: np.ndarray) -> list[int]:
    """COCO's uncompressed run lengths, column by column, beginning with zeros; written out naively."""
    counts, current = [0], False
    for value in mask.T.ravel():
        if value != current:
            counts.append(0)
            current = bool(value)
        counts[-1] += 1
    return counts


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def write_set(train: Any, val: Any | None = None, root: Path = tmp_path) -> Path:
        (root / "annotations").mkdir(parents=True, exist_ok=True)
        for split, content in (("train", train), ("val", instances() if val is None else val)):
            (root / f"{split}2017").mkdir(exist_ok=True)
            text = content if isinstance(content, str) else json.dumps(content)
            (root / "annotations" / f"instances_{split}2017.json").write_text(text)
        return tmp_path

    return write_set


def test_ids_become_labels_in_ascending_order_and_boxes_corners(write: Callable[..., Path]) -> None:
    root = write(
        instances(
            {"category_id": 90, "bbox": [1.5, 2, 3, 4.25], "segmentation": polygon(1, 2, 4, 6)},
            {"category_id": 3, "bbox": [0, 0, 10, 8], "iscrowd": 1, "segmentation": []},
            {"category_id": 13, "bbox": [0, 0, 4, 4], "segmentation": []},
        )
    )
    annotated = open_annotated_source("coco", root)
    assert annotated.class_names == ("car", "stop sign", "toothbrush")
    records = list(annotated.source.records())
    assert [record.path for record in records[:2]] == ["train2017/000000000070.jpg", "train2017/000000000009.jpg"]
    # The crowd has the largest box, and does not count.
    assert [record.class_name for record in records] == ["stop sign", None, None, None]
    assert annotated.annotation is not None
    image = annotated.annotation(0)
    assert image.size == (HEIGHT, WIDTH)
    assert image.objects[0].box == (1.5, 2, 4.5, 6.25)
    assert [thing.label for thing in image.objects] == [2, 0, 1]
    assert [thing.crowd for thing in image.objects] == [False, True, False]
    # Not every object has a mask: no map of the pixels.
    assert image.segmentation is None


def test_polygons_and_both_forms_of_run_lengths_are_decoded(write: Callable[..., Path]) -> None:
    first, second, third = (1, 1, 4, 4), (3, 2, 7, 6), (6, 0, 10, 3)
    packed = coco_masks.encode(np.asfortranarray(rectangle(*third), dtype=np.uint8))
    root = write(
        instances(
            {"category_id": 3, "bbox": [1, 1, 3, 3], "segmentation": polygon(*first)},
            {
                "category_id": 13,
                "bbox": [3, 2, 4, 4],
                "segmentation": {"counts": run_lengths(rectangle(*second)), "size": [HEIGHT, WIDTH]},
            },
            {
                "category_id": 3,
                "bbox": [6, 0, 4, 3],
                "iscrowd": 1,
                "segmentation": {"counts": packed["counts"].decode(), "size": [HEIGHT, WIDTH]},
            },
        )
    )
    read = open_annotated_source("coco", root).annotation
    assert read is not None
    image = read(0)
    masks = [thing.mask for thing in image.objects]
    for mask, corners in zip(masks, (first, second, third), strict=True):
        assert mask is not None
        assert (mask == rectangle(*corners)).all()
    expected = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    expected[rectangle(*first)] = 1
    expected[rectangle(*second)] = 2
    expected[rectangle(*first) & rectangle(*second)] = IGNORED
    expected[rectangle(*third)] = IGNORED
    assert image.segmentation is not None
    assert (image.segmentation == expected).all()
    empty = read(1).segmentation
    assert empty is not None
    assert not empty.any()


def test_a_third_object_does_not_undo_a_clash(write: Callable[..., Path]) -> None:
    # In every order, pixels of two classes are not counted, and those of one class twice are that class.
    for order in ((3, 13, 3), (3, 3, 13), (13, 3, 3)):
        objects = [{"category_id": id, "bbox": [0, 0, 4, 4], "segmentation": polygon(0, 0, 4, 4)} for id in order]
        read = open_annotated_source("coco", write(instances(*objects))).annotation
        assert read is not None
        found = read(0).segmentation
        assert found is not None
        assert set(found[:4, :4].ravel()) == {IGNORED}


def test_the_folder_coco_may_lie_between(write: Callable[..., Path], tmp_path: Path) -> None:
    write(instances(), root=tmp_path / "coco")
    assert next(open_source("coco", tmp_path).records()).path == "coco/train2017/000000000070.jpg"


def test_coco_problems_are_named_in_one_line(write: Callable[..., Path], tmp_path: Path) -> None:
    good = {"category_id": 3, "bbox": [0, 0, 4, 4], "segmentation": []}

    def message(train: Any, val: Any | None = None) -> str:
        with pytest.raises(UserError) as raised:
            open_source("coco", write(train, val))
        assert "\n" not in str(raised.value)
        return str(raised.value)

    assert "instances_train2017.json: not valid JSON" in message("{")
    assert "not COCO's instances format (KeyError: 4)" in message(instances(good | {"category_id": 4}))
    assert "not COCO's instances format (KeyError: 5)" in message(instances(good | {"image_id": 5}))
    assert "not COCO's instances format" in message([])
    assert "no image of the train split" in message(instances() | {"images": []})
    assert "categories are not those of" in message(instances(), instances() | {"categories": CATEGORIES[:1]})
    read = open_annotated_source("coco", write(instances(good | {"segmentation": {"size": [8, 10]}}))).annotation
    assert read is not None
    with pytest.raises(UserError, match="image 70: a segmentation cannot be decoded"):
        read(0)
    (tmp_path / "annotations" / "instances_val2017.json").unlink()
    with pytest.raises(
        MissingFileError, match=r"instances_val2017.json: not found; unpack COCO's annotations_trainval"
    ):
        open_source("coco", tmp_path)
    (tmp_path / "val2017").rmdir()
    with pytest.raises(MissingFileError, match=r"val2017: not found; unpack COCO's val2017.zip there"):
        open_source("coco", tmp_path)


@pytest.mark.slow
def test_real_coco(real_data_dir: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(real_data_dir / "coco-small" / "coco-small.zip") as archive:
        archive.extractall(tmp_path)
    annotated = open_annotated_source("coco", tmp_path)
    assert annotated.source.counts == {"train": 42, "val": 42}
    assert len(annotated.class_names) == 80
    assert (annotated.class_names[0], annotated.class_names[79]) == ("person", "toothbrush")
    entries: dict[int, list[dict[str, Any]]] = {}
    for split in ("train", "val"):
        content = json.loads((tmp_path / "coco" / "annotations" / f"instances_{split}2017.json").read_text())
        for entry in content["annotations"]:
            entries.setdefault(entry["image_id"], []).append(entry)
    assert annotated.annotation is not None
    for id, record in enumerate(annotated.source.records()):
        image = annotated.annotation(id)
        assert image.segmentation is not None
        expected = entries.get(int(Path(record.path or "").stem), [])
        assert len(image.objects) == len(expected)
        for thing, entry in zip(image.objects, expected, strict=True):
            assert thing.mask is not None
            if entry["iscrowd"]:
                assert run_lengths(thing.mask) == entry["segmentation"]["counts"]
            else:
                # The area is that of the polygons; rasters differ by pixels of the outline.
                x0, y0, x1, y1 = thing.box
                assert abs(thing.mask.sum() - entry["area"]) <= 2 * ((x1 - x0) + (y1 - y0)) + 4
