"""COCO's average precision by pycocotools, on data in memory."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from pipeline_lib.artifacts.detections import Detections
from pipeline_lib.segins.transfer.detection.ground_truth import GroundTruth


def coco_precision(detections: Detections, truth: GroundTruth, classes: int, kind: str) -> NDArray[np.float64]:
    """Average precision of every class at every overlap from .50 to .95, over all sizes, 100 detections an image.

    Args:
        detections: What was found.
        truth: What is there, with masks for ``segm``.
        classes: Number of classes.
        kind: ``bbox`` or ``segm``.

    Returns:
        float64 (classes, 10) in [0, 1]; NaN for classes without an object that counts.
    """
    results = _results(detections, kind)
    with contextlib.redirect_stdout(io.StringIO()):
        reference = COCO()
        reference.dataset = _dataset(detections, truth, classes)
        reference.createIndex()
        found = COCO()
        found.dataset = {**reference.dataset, "annotations": []}
        found.createIndex()
        if results:
            found = reference.loadRes(results)
        evaluation = COCOeval(reference, found, kind)
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][:, :, :, 0, -1]  # (10, 101, classes), all areas, 100 detections
    precision = np.where(precision < 0, np.nan, precision)
    return precision.mean(axis=1).T  # type: ignore[no-any-return]


def _dataset(detections: Detections, truth: GroundTruth, classes: int) -> dict[str, Any]:
    # pycocotools looks up the size of every image that has a mask.
    known = [*zip(truth.ids, truth.sizes, strict=True), *zip(detections.ids, detections.sizes, strict=True)]
    sizes = {int(image_id): (int(size[0]), int(size[1])) for image_id, size in known}
    images = [
        dict(zip(("id", "height", "width"), (int(image_id), *sizes.get(int(image_id), (0, 0))), strict=True))
        for image_id in detections.images
    ]
    annotations = []
    for row in range(len(truth.ids)):
        entry = {
            "id": row + 1,
            "image_id": int(truth.ids[row]),
            "category_id": int(truth.labels[row]),
            "bbox": _corner_and_size(truth.boxes[row]),
            "area": float(truth.areas[row]),
            "iscrowd": int(truth.crowd[row]),
        }
        if truth.masks is not None:
            entry["segmentation"] = _run_lengths(truth.masks[row], truth.sizes[row])
        annotations.append(entry)
    return {
        "info": {},
        "images": images,
        "annotations": annotations,
        "categories": [{"id": label, "name": str(label)} for label in range(classes)],
    }


def _results(detections: Detections, kind: str) -> list[dict[str, Any]]:
    results = []
    for row in range(len(detections)):
        entry: dict[str, Any] = {
            "image_id": int(detections.ids[row]),
            "category_id": int(detections.labels[row]),
            "score": float(detections.scores[row]),
        }
        # With a box beside the mask pycocotools would take the box's area for the mask's.
        if kind == "segm" and detections.masks is not None:
            entry["segmentation"] = _run_lengths(detections.masks[row], detections.sizes[row])
        else:
            entry["bbox"] = _corner_and_size(detections.boxes[row])
        results.append(entry)
    return results


def _corner_and_size(box: NDArray[np.float32]) -> list[float]:
    x0, y0, x1, y1 = (float(side) for side in box)
    return [x0, y0, x1 - x0, y1 - y0]


def _run_lengths(counts: bytes, size: NDArray[np.int32]) -> dict[str, Any]:
    return {"size": [int(size[0]), int(size[1])], "counts": counts}
