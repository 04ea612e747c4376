import numpy as np
import pytest

from pipeline_lib.artifacts.detections import Detections, encoded_masks, open_detections, write_detections
from pipeline_lib.base.errors import MissingFileError


def some(masks: bool) -> Detections:
    draw = np.random.default_rng(0)
    drawn = draw.random((3, 6, 9)) < 0.4
    return Detections(
        images=np.array([4, 5, 9]),
        ids=np.array([4, 4, 9]),
        labels=np.array([0, 1, 1], np.int32),
        scores=np.array([0.9, 0.2, 0.5], np.float32),
        boxes=draw.random((3, 4)).astype(np.float32),
        masks=tuple(encoded_masks(drawn)) if masks else None,
        sizes=np.array([[6, 9]] * 3, np.int32) if masks else np.zeros((3, 2), np.int32),
    )


def write(folder, detections):
    write_detections(
        folder,
        detections,
        class_names=["a", "b"],
        split="val",
        metrics={"ap": 0.25},
        class_precision={"a": 0.5, "b": None},
        history=[{"iteration": 1, "loss": 2.0}],
        made_by={"stage": "detection"},
    )


@pytest.mark.parametrize("masks", [True, False])
def test_what_is_written_is_read(tmp_path, masks):
    detections = some(masks)
    write(tmp_path / "made", detections)
    run = open_detections(tmp_path / "made")
    assert (run.class_names, run.split, run.metrics) == (("a", "b"), "val", {"ap": 0.25})
    assert (run.class_precision, run.history) == ({"a": 0.5, "b": None}, ({"iteration": 1, "loss": 2.0},))
    read = run.detections()
    for name in ("images", "ids", "labels", "scores", "boxes", "sizes"):
        np.testing.assert_array_equal(getattr(read, name), getattr(detections, name))
        assert getattr(read, name).dtype == getattr(detections, name).dtype
    assert read.masks == detections.masks
    assert read.rows(4).tolist() == [0, 1]
    assert read.rows(5).tolist() == []


def test_masks_are_read_as_they_were():
    masks = np.random.default_rng(1).random((3, 6, 9)) < 0.4
    drawn = some(masks=True)
    detections = Detections(
        drawn.images, drawn.ids, drawn.labels, drawn.scores, drawn.boxes, tuple(encoded_masks(masks)), drawn.sizes
    )
    for row, mask in enumerate(masks):
        np.testing.assert_array_equal(detections.mask(row), mask)
    assert encoded_masks(np.zeros((0, 4, 5), bool)) == []
    with pytest.raises(ValueError, match="no masks"):
        some(masks=False).mask(0)


def test_no_detections_and_no_artifact(tmp_path):
    none = Detections(
        images=np.array([1, 2]),
        ids=np.zeros(0, np.int64),
        labels=np.zeros(0, np.int32),
        scores=np.zeros(0, np.float32),
        boxes=np.zeros((0, 4), np.float32),
        masks=None,
        sizes=np.zeros((0, 2), np.int32),
    )
    write(tmp_path / "none", none)
    assert len(open_detections(tmp_path / "none").detections()) == 0
    with pytest.raises(MissingFileError, match="no detections artifact here"):
        open_detections(tmp_path / "absent")
