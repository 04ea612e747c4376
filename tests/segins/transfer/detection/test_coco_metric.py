import numpy as np

from pipeline_lib.artifacts.detections import Detections, encoded_masks
from pipeline_lib.segins.transfer.detection.coco_metric import coco_precision
from pipeline_lib.segins.transfer.detection.ground_truth import GroundTruth

BOXES = np.array([[0, 0, 10, 10], [20, 20, 40, 30]], np.float32)


def masks_of(boxes: np.ndarray) -> np.ndarray:
    masks = np.zeros((len(boxes), 48, 48), bool)
    for mask, (x0, y0, x1, y1) in zip(masks, boxes.astype(int), strict=True):
        mask[y0:y1, x0:x1] = True
    return masks


def truth() -> GroundTruth:
    return GroundTruth(
        ids=np.array([0, 1]),
        labels=np.array([0, 1], np.int32),
        boxes=BOXES,
        difficult=np.zeros(2, bool),
        crowd=np.zeros(2, bool),
        masks=tuple(encoded_masks(masks_of(BOXES))),
        sizes=np.full((2, 2), 48, np.int32),
        areas=np.array([100, 200], np.float32),
    )


def detections(boxes: np.ndarray, ids: list[int], labels: list[int]) -> Detections:
    count = len(boxes)
    return Detections(
        images=np.array([0, 1, 2]),
        ids=np.array(ids),
        labels=np.array(labels, np.int32),
        scores=np.linspace(0.9, 0.5, count, dtype=np.float32),
        boxes=boxes.astype(np.float32),
        masks=tuple(encoded_masks(masks_of(boxes))),
        sizes=np.full((count, 2), 48, np.int32),
    )


def test_what_is_there_has_precision_one_and_absent_classes_none() -> None:
    for kind in ("bbox", "segm"):
        precision = coco_precision(detections(BOXES, [0, 1], [0, 1]), truth(), 3, kind)
        assert precision.shape == (3, 10)
        np.testing.assert_allclose(precision[:2], 1)
        assert np.isnan(precision[2]).all()


def test_an_overlap_of_seven_tenths_counts_up_to_it() -> None:
    moved = np.array([[0, 0, 10, 7], [20, 20, 40, 30]])
    for kind in ("bbox", "segm"):
        precision = coco_precision(detections(moved, [0, 1], [0, 1]), truth(), 2, kind)
        np.testing.assert_allclose(precision[0], [1, 1, 1, 1, 1, 0, 0, 0, 0, 0])


def test_no_detections_and_detections_on_images_without_objects() -> None:
    assert coco_precision(detections(np.zeros((0, 4)), [], []), truth(), 2, "bbox").tolist() == [[0.0] * 10] * 2
    strange = detections(np.array([[1, 1, 9, 9], *BOXES]), [2, 0, 1], [0, 0, 1])
    precision = coco_precision(strange, truth(), 2, "segm")
    np.testing.assert_allclose(precision[0], 0.5)
    np.testing.assert_allclose(precision[1], 1)
