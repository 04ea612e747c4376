"""Detections and objects without their classes: whether objects are found, whatever they are taken for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline_lib.artifacts.detections import Detections
from pipeline_lib.segins.transfer.detection.ground_truth import GroundTruth
from pipeline_lib.segins.transfer.detection.suppression import suppress

_OVERLAP = 0.5


def without_classes(detections: Detections, truth: GroundTruth) -> tuple[Detections, GroundTruth]:
    """All detections and objects as one class; of boxes that overlap by more than half the surest one stays.

    Args:
        detections: What was found, with boxes of several classes on one object.
        truth: What is there.

    Returns:
        Both with label 0; detections in their order, without masks.
    """
    kept = _surest(detections)
    one_class = replace(
        detections,
        ids=detections.ids[kept],
        labels=np.zeros(len(kept), np.int32),
        scores=detections.scores[kept],
        boxes=detections.boxes[kept],
        masks=None,
        sizes=detections.sizes[kept],
    )
    return one_class, replace(truth, labels=np.zeros_like(truth.labels))


def _surest(detections: Detections) -> NDArray[np.int64]:
    """Rows of the detections that no surer one of their image overlaps, ascending."""
    order = np.argsort(detections.ids, kind="stable")
    _, starts = np.unique(detections.ids[order], return_index=True)
    kept = [np.zeros(0, np.int64)]
    # Image by image: all pairs of boxes of a large test set would be too many.
    for rows in np.split(order, starts[1:]):
        boxes, scores = torch.tensor(detections.boxes[rows]), torch.tensor(detections.scores[rows])
        kept.append(rows[suppress(boxes, scores, None, _OVERLAP).numpy()])
    found: NDArray[np.int64] = np.sort(np.concatenate(kept))
    return found
