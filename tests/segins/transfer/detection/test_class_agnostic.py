import numpy as np
import pytest

from pipeline_lib.artifacts.detections import Detections
from pipeline_lib.segins.transfer.detection.class_agnostic import without_classes
from pipeline_lib.segins.transfer.detection.ground_truth import GroundTruth
from pipeline_lib.segins.transfer.detection.voc_metric import voc_precision

LEFT, RIGHT = (0, 0, 10, 10), (20, 0, 30, 10)


def truth(*rows):
    """Rows of image, label and box."""
    count = len(rows)
    return GroundTruth(
        ids=np.array([row[0] for row in rows]),
        labels=np.array([row[1] for row in rows], np.int32),
        boxes=np.array([row[2] for row in rows], np.float32),
        difficult=np.zeros(count, bool),
        crowd=np.zeros(count, bool),
        masks=None,
        sizes=np.zeros((count, 2), np.int32),
        areas=np.full(count, 100, np.float32),
    )


def found(*rows):
    """Rows of image, label, score and box."""
    return Detections(
        images=np.array([0, 1]),
        ids=np.array([row[0] for row in rows], np.int64),
        labels=np.array([row[1] for row in rows], np.int32),
        scores=np.array([row[2] for row in rows], np.float32),
        boxes=np.array([row[3] for row in rows], np.float32).reshape(-1, 4),
        masks=None,
        sizes=np.full((len(rows), 2), 32, np.int32),
    )


def precision(detections, objects, classes):
    return np.nanmean(voc_precision(detections, objects, classes, eleven_points=False))


def test_boxes_with_wrong_classes_find_their_objects():
    objects = truth((0, 0, LEFT), (0, 1, RIGHT), (1, 2, LEFT))
    detections = found((0, 2, 0.9, LEFT), (0, 0, 0.8, RIGHT), (1, 1, 0.7, LEFT))
    assert precision(detections, objects, 3) == 0.0
    assert precision(*without_classes(detections, objects), 1) == pytest.approx(1.0)


def test_the_surest_of_overlapping_boxes_stays_and_other_images_keep_theirs():
    shifted = (1, 0, 11, 10)
    detections = found((0, 0, 0.5, LEFT), (0, 1, 0.9, shifted), (0, 2, 0.4, RIGHT), (1, 0, 0.3, LEFT))
    kept, _ = without_classes(detections, truth((0, 0, LEFT)))
    assert kept.boxes.tolist() == [list(shifted), list(RIGHT), list(LEFT)]
    assert kept.ids.tolist() == [0, 0, 1]
    assert set(kept.labels.tolist()) == {0}


def test_names_of_the_classes_do_not_matter():
    draw = np.random.default_rng(0)
    corners = draw.uniform(0, 20, (40, 2))
    boxes = np.concatenate([corners, corners + draw.uniform(4, 12, (40, 2))], axis=1)
    rows = [(int(draw.integers(2)), int(draw.integers(3)), float(draw.uniform()), box) for box in boxes]
    objects = [(row[0], int(draw.integers(3)), row[3]) for row in rows[::4]]
    renamed = [(image, 2 - label, score, box) for image, label, score, box in rows]
    first = precision(*without_classes(found(*rows), truth(*objects)), 1)
    assert 0 < first < 1
    assert precision(*without_classes(found(*renamed), truth(*objects)), 1) == first


def test_no_detections_have_no_precision():
    assert precision(*without_classes(found(), truth((0, 0, LEFT))), 1) == 0.0
