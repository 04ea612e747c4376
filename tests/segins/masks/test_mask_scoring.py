"""Scores against counts by hand, and truth at other sizes."""

from pathlib import Path

import numpy as np
import pytest
from objects_kit import write_objects

from pipeline_lib.artifacts.objects import encoded_png, open_objects
from pipeline_lib.segins.masks.scoring import (
    THRESHOLDS,
    MaskScores,
    intersection_over_union,
    is_localised,
    largest_component_box,
)
from pipeline_lib.segins.masks.truth import ImageTruth, covered, image_truth, nearest


def square(top: int, left: int, side: int, size: int = 10) -> np.ndarray:
    mask = np.zeros((size, size), dtype=bool)
    mask[top : top + side, left : left + side] = True
    return mask


def test_iou_by_hand() -> None:
    mask, truth, counted = square(0, 0, 4), square(2, 2, 4), np.ones((10, 10), dtype=bool)
    assert intersection_over_union(mask, truth, counted) == pytest.approx(4 / 28)
    # What is not counted stands neither above nor below the line.
    counted[0] = False
    assert intersection_over_union(mask, truth, counted) == pytest.approx(4 / 24)
    assert intersection_over_union(np.zeros_like(mask), np.zeros_like(mask), counted) == 0
    stacked = intersection_over_union(np.stack([mask, truth]), truth, np.ones_like(counted))
    np.testing.assert_allclose(stacked, [4 / 28, 1])


def test_box_of_the_largest_part() -> None:
    mask = square(0, 0, 3) | square(5, 4, 4)
    np.testing.assert_array_equal(largest_component_box(mask), [4, 5, 8, 9])
    # Corners do not connect.
    assert largest_component_box(square(0, 0, 2) | square(2, 2, 3)).tolist() == [2, 2, 5, 5]
    assert largest_component_box(np.zeros((4, 4), dtype=bool)) is None


def test_localised_from_half_on() -> None:
    mask = square(0, 0, 4)
    assert is_localised(mask, np.array([[0, 0, 4, 8], [9, 9, 10, 10]], dtype=float))
    assert not is_localised(mask, np.array([[0, 0, 4, 8.1]], dtype=float))
    assert not is_localised(np.zeros((4, 4), dtype=bool), np.array([[0, 0, 4, 4]], dtype=float))


def truth_of(mask: np.ndarray, with_mask: bool) -> ImageTruth:
    box = largest_component_box(mask)
    assert box is not None
    return ImageTruth(box[None], covered(box[None], mask.shape), mask if with_mask else None, np.ones_like(mask))


def test_means_kinds_and_the_best_threshold() -> None:
    scores = MaskScores()
    for left, with_mask in ((0, True), (3, False)):
        mask = square(1, left, 4)
        soft = np.where(mask, 0.42, 0.12).astype(np.float32)
        kinds = {"pseudo": soft > 0.5, "control_whole": np.ones_like(mask)}
        scores.add(kinds, soft, truth_of(mask, with_mask))
    measures = scores.metrics()
    assert (measures["images_with_masks"], measures["images_with_boxes"]) == (1, 2)
    assert measures["pseudo"] == {"corloc": 0, "foreground_share": 0, "iou_with_boxes": 0, "iou_with_masks": 0}
    assert measures["control_whole"]["iou_with_boxes"] == 0.16
    assert measures["oracle_threshold"] == {"threshold": 0.15, "iou_with_masks": 1.0}
    assert 0.15 in THRESHOLDS


def test_without_truth_there_are_no_scores() -> None:
    assert MaskScores().metrics() == {"images_with_masks": 0, "images_with_boxes": 0}


def written_objects(folder: Path, objects: list[dict], segmentation: list[dict]) -> None:
    full = [{"split": "train", "label": 0, "difficult": False, "crowd": False, "mask": None} | row for row in objects]
    write_objects(folder, full, segmentation, ["thing"], {})


def test_truth_scales_and_leaves_out_what_is_not_counted(tmp_path: Path) -> None:
    first, crowd = square(0, 0, 4, 20), square(10, 10, 6, 20)
    classes = np.where(first, 1, 0).astype(np.uint8)
    classes[5] = 255
    box = {"x0": 0.0, "y0": 0.0, "x1": 4.0, "y1": 4.0}
    far = {"x0": 10.0, "y0": 10.0, "x1": 16.0, "y1": 16.0}
    written_objects(
        tmp_path / "objects",
        [
            {"id": 1, **box, "mask": encoded_png(first)},
            {"id": 1, **far, "crowd": True, "mask": encoded_png(crowd)},
            {"id": 2, **far, "crowd": True},
            {"id": 3, **box},
            {"id": 3, **far},
        ],
        [{"id": 1, "split": "train", "map": encoded_png(classes)}],
    )
    objects = open_objects(tmp_path / "objects")
    truth = image_truth(objects, 1, (20, 20), (10, 10))
    assert truth is not None
    np.testing.assert_array_equal(truth.boxes, [[0, 0, 2, 2]])
    np.testing.assert_array_equal(truth.on_objects, square(0, 0, 2))
    np.testing.assert_array_equal(truth.in_boxes, square(0, 0, 2))
    np.testing.assert_array_equal(truth.counted, (nearest(classes, (10, 10)) != 255) & ~square(5, 5, 3))
    assert image_truth(objects, 2, (20, 20), (10, 10)) is None
    assert image_truth(objects, 9, (20, 20), (10, 10)) is None
    boxes_only = image_truth(objects, 3, (20, 20), (20, 20))
    assert boxes_only is not None
    assert boxes_only.on_objects is None
    np.testing.assert_array_equal(boxes_only.in_boxes, first | crowd)
    assert boxes_only.counted.all()
