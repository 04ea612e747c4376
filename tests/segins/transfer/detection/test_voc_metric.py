import numpy as np
import pytest

from pipeline_lib.artifacts.detections import Detections
from pipeline_lib.segins.transfer.detection.ground_truth import GroundTruth
from pipeline_lib.segins.transfer.detection.voc_metric import THRESHOLDS, voc_precision


def found(rows: list[tuple[int, int, float, list[float]]]) -> Detections:
    ids, labels, scores, boxes = zip(*rows, strict=True) if rows else ((), (), (), ())
    return Detections(
        images=np.unique(np.array(ids, np.int64)),
        ids=np.array(ids, np.int64),
        labels=np.array(labels, np.int32),
        scores=np.array(scores, np.float32),
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        masks=None,
        sizes=np.zeros((len(ids), 2), np.int32),
    )


def there(rows: list[tuple[int, int, bool, list[float]]]) -> GroundTruth:
    ids, labels, difficult, boxes = zip(*rows, strict=True)
    return GroundTruth(
        ids=np.array(ids, np.int64),
        labels=np.array(labels, np.int32),
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        difficult=np.array(difficult, bool),
        crowd=np.zeros(len(ids), bool),
        masks=None,
        sizes=np.zeros((len(ids), 2), np.int32),
        areas=np.zeros(len(ids), np.float32),
    )


def naive(detections: Detections, truth: GroundTruth, label: int, threshold: float, eleven: bool) -> float:
    """The development kit's procedure on its own boxes: inclusive, from 1, with one pixel more a side."""
    objects = [
        {"id": i, "box": np.array([b[0] + 1, b[1] + 1, b[2], b[3]], float), "difficult": d, "taken": False}
        for i, c, b, d in zip(truth.ids, truth.labels, truth.boxes, truth.difficult, strict=True)
        if c == label
    ]
    total = sum(not each["difficult"] for each in objects)
    right, wrong = [], []
    for row in np.argsort(-detections.scores, kind="stable"):
        if detections.labels[row] != label:
            continue
        x0, y0, x1, y1 = detections.boxes[row].astype(float)
        box, best, chosen = np.array([x0 + 1, y0 + 1, x1, y1]), -np.inf, None
        for each in objects:
            if each["id"] != detections.ids[row]:
                continue
            other = each["box"]
            width = max(0.0, min(box[2], other[2]) - max(box[0], other[0]) + 1)
            height = max(0.0, min(box[3], other[3]) - max(box[1], other[1]) + 1)
            sizes = [(b[2] - b[0] + 1) * (b[3] - b[1] + 1) for b in (box, other)]
            overlap = width * height / (sum(sizes) - width * height)
            if overlap > best:
                best, chosen = overlap, each
        if chosen is not None and best > threshold:
            if chosen["difficult"]:
                continue
            right.append(not chosen["taken"])
            wrong.append(chosen["taken"])
            chosen["taken"] = True
        else:
            right.append(False)
            wrong.append(True)
    tp, fp = np.cumsum(right), np.cumsum(wrong)
    recall, precision = tp / total, tp / np.maximum(tp + fp, 1e-12)
    if eleven:
        steps = np.arange(0.0, 1.1, 0.1)
        return sum(max(precision[recall >= t], default=0.0) for t in steps) / 11
    recall, precision = np.concatenate([[0], recall, [1]]), np.concatenate([[0], precision, [0]])
    for place in range(len(precision) - 2, -1, -1):
        precision[place] = max(precision[place], precision[place + 1])
    return float(sum((recall[i] - recall[i - 1]) * precision[i] for i in range(1, len(recall))))


@pytest.mark.parametrize("eleven", [True, False])
def test_random_cases_equal_the_development_kit(eleven: bool) -> None:
    draw = np.random.default_rng(5)
    objects, detections = [], []
    for image in range(30):
        for _ in range(int(draw.integers(1, 5))):
            corner, size = draw.integers(0, 60, 2), draw.integers(8, 40, 2)
            box = [*corner, *(corner + size)]
            label = int(draw.integers(0, 3))
            objects.append((image, label, bool(draw.random() < 0.2), box))
            for _ in range(int(draw.integers(0, 4))):
                moved = np.array(box) + draw.normal(0, 3, 4)
                other = label if draw.random() < 0.8 else int(draw.integers(0, 3))
                detections.append((image, other, round(float(draw.random()), 2), list(moved)))
    detections.append((99, 0, 0.999, [0.0, 0.0, 5.0, 5.0]))  # an image without objects
    seen, truth = found(detections), there(objects)
    result = voc_precision(seen, truth, 3, eleven_points=eleven)
    expected = [[naive(seen, truth, label, t, eleven) for t in THRESHOLDS] for label in range(3)]
    np.testing.assert_allclose(result, expected, atol=1e-12)
    assert result[:, 0].min() > 0.2


def test_by_hand() -> None:
    square = [0.0, 0.0, 10.0, 10.0]
    truth = there([(0, 0, False, square), (1, 0, False, square), (1, 1, True, square)])
    # Right, a second one for the same object, and a miss: precisions 1, 1/2, 2/3 at recalls 1/2, 1/2, 1.
    seen = found([(0, 0, 0.9, square), (0, 0, 0.8, square), (1, 0, 0.7, square), (1, 1, 0.9, square)])
    eleven, area = (voc_precision(seen, truth, 2, eleven_points=points) for points in (True, False))
    np.testing.assert_allclose(eleven[0], (6 * 1 + 5 * 2 / 3) / 11)
    np.testing.assert_allclose(area[0], 0.5 * 1 + 0.5 * 2 / 3)
    assert np.isnan(eleven[1]).all(), "a class with difficult objects only does not count"


def test_an_overlap_equal_to_the_threshold_is_not_enough() -> None:
    truth = there([(0, 0, False, [0.0, 0.0, 10.0, 10.0])])
    half = voc_precision(found([(0, 0, 0.9, [0.0, 0.0, 10.0, 5.0])]), truth, 1, eleven_points=True)
    assert half[0].max() == 0
    more = voc_precision(found([(0, 0, 0.9, [0.0, 0.0, 10.0, 5.1])]), truth, 1, eleven_points=True)
    assert (more[0] > 0).tolist() == [True] + [False] * 9


def test_no_detections_give_zero() -> None:
    truth = there([(0, 0, False, [0.0, 0.0, 10.0, 10.0])])
    assert voc_precision(found([]), truth, 1, eleven_points=True).tolist() == [[0.0] * 10]
