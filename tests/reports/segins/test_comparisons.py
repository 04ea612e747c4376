"""Which starts stand side by side in the picture of detections, and from which score they are drawn."""

import numpy as np
import pytest
from objects_kit import write_objects
from PIL import Image

from pipeline_lib.artifacts.detections import Detections, open_detections, write_detections
from pipeline_lib.artifacts.objects import ImageObjects, open_objects
from pipeline_lib.reports.segins import comparisons
from pipeline_lib.reports.segins.comparisons import SCORE, compared, drawn_score

STARTS = ("random", "simsiam-baseline", "simsiam-segins", "moco-baseline", "moco-segins")


def detections(scores, ids=None):
    count = len(scores)
    return Detections(
        images=np.array([1, 2, 3]),
        ids=np.array(ids or [1] * count),
        labels=np.zeros(count, dtype=np.int32),
        scores=np.array(scores, dtype=np.float32),
        boxes=np.tile(np.array([[2, 2, 8, 8]], dtype=np.float32), (count, 1)),
        masks=None,
        sizes=np.zeros((count, 2), dtype=np.int32),
    )


def objects(count):
    box = np.zeros((count, 4), dtype=np.float32)
    no = np.zeros(count, dtype=bool)
    return ImageObjects(box, np.zeros(count, dtype=np.int32), no, no, None)


@pytest.mark.parametrize(
    ("starts", "expected"),
    [
        (STARTS, [["simsiam-baseline", "simsiam-segins"], ["moco-baseline", "moco-segins"]]),
        (("moco-segins", "random", "moco-baseline"), [["moco-baseline", "moco-segins"]]),
        (("random", "moco-segins"), [["random", "moco-segins"]]),
    ],
)
def test_baseline_and_segins_of_each_method_stand_side_by_side(starts, expected):
    assert compared(starts) == expected


def test_detections_are_drawn_from_a_score_that_is_lower_only_after_a_short_training():
    sure = {"a": detections([0.9, 0.6, 0.4]), "b": detections([0.3])}
    assert drawn_score(sure, {1: objects(2)}, ["a", "b"]) == SCORE
    unsure = {"a": detections([0.4, 0.3, 0.1]), "b": detections([0.35, 0.2])}
    # Two objects and two starts: the four surest.
    assert drawn_score(unsure, {1: objects(2)}, ["a", "b"]) == pytest.approx(0.2)
    assert drawn_score(unsure, {1: objects(9)}, ["a", "b"]) == pytest.approx(0.1)
    assert drawn_score(unsure, {1: objects(0)}, ["a", "b"]) == SCORE
    # Images that are not drawn do not count.
    assert drawn_score(unsure, {2: objects(2)}, ["a", "b"]) == SCORE


def test_the_picture_draws_what_reaches_the_score(tmp_path):
    facts = {"split": "val", "label": 0, "difficult": False, "crowd": False, "mask": None}
    box = {"x0": 2, "y0": 2, "x1": 8, "y1": 8}
    rows = [facts | box | {"id": image_id} for image_id in (1, 2, 3)]
    write_objects(tmp_path / "objects", rows, [], ["square"], {})
    runs = {}
    for name, scores in (("moco-baseline", [0.9, 0.1]), ("moco-segins", [0.9, 0.8])):
        write_detections(
            tmp_path / name,
            detections(scores, [1, 2]),
            class_names=["square"],
            split="val",
            metrics={},
            class_precision={},
            history=[],
            made_by={},
        )
        runs[name] = open_detections(tmp_path / name)
    path = tmp_path / "detections.png"
    black = Image.new("RGB", (20, 20), "black")
    comparisons.write_detections(path, runs, open_objects(tmp_path / "objects"), lambda _: black)
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    step = comparisons.DETECTION_TILE + 6

    def drawn(line, column):
        top, left = 70 + line * step, 16 + column * step
        return bool(np.ptp(pixels[top : top + step - 6, left : left + step - 6], axis=2).max() > 20)

    assert [[drawn(line, column) for column in range(3)] for line in range(3)] == [
        [True, True, True],
        [False, True, True],
        [False, False, True],
    ]
