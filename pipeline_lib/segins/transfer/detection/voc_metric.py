"""Average precision of PASCAL VOC (Everingham et al. 2010), at the overlaps .50 to .95 that MoCo reports its mean of.

VOC's boxes are inclusive and count from 1, and its overlaps add one pixel to every side length. Boxes that count from
0 with exclusive ends, as here, have the same overlaps without that pixel: x1 - (x0 + 1) + 1 = x1 - x0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline_lib.artifacts.detections import Detections
from pipeline_lib.segins.transfer.detection.ground_truth import GroundTruth

THRESHOLDS: tuple[float, ...] = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
_RECALLS = np.linspace(0, 1, 11)


@dataclass(frozen=True)
class _Best:
    """The object that each detection overlaps most with: its row (-1: none of the class) and their overlap."""

    rows: NDArray[np.int64]
    overlaps: NDArray[np.float64]


def voc_precision(
    detections: Detections, truth: GroundTruth, classes: int, *, eleven_points: bool
) -> NDArray[np.float64]:
    """Average precision of every class at every overlap.

    A detection is right where the object that it overlaps most with, of its image and class, overlaps more than the
    threshold, and no detection of a higher score was right for the same object. Difficult objects are neither missed
    nor found. Equal scores keep their order.

    Args:
        detections: What was found.
        truth: What is there.
        classes: Number of classes.
        eleven_points: Mean of the best precision at 11 recalls (2007), else the area below the curve (from 2010 on).

    Returns:
        float64 (classes, 10) in [0, 1]; NaN for classes of which there is no object that counts.
    """
    order = np.argsort(-detections.scores.astype(np.float64), kind="stable")
    best = _best_objects(detections, truth)
    rows, overlaps, labels = best.rows[order], best.overlaps[order], detections.labels[order]
    difficult = np.append(truth.difficult, False)[rows]
    result = np.full((classes, len(THRESHOLDS)), np.nan)
    for label in range(classes):
        objects = int((~truth.difficult & (truth.labels == label)).sum())
        own = labels == label
        if objects:
            for number, threshold in enumerate(THRESHOLDS):
                right, counted = _right(rows[own], overlaps[own] > threshold, difficult[own])
                result[label, number] = _precision(right[counted], objects, eleven_points)
    return result


def _best_objects(detections: Detections, truth: GroundTruth) -> _Best:
    """All pairs of detection and object of the same image and class at once."""
    rows = np.full(len(detections), -1, np.int64)
    overlaps = np.full(len(detections), -np.inf)
    _, number = np.unique(np.concatenate([truth.ids, detections.ids]), return_inverse=True)
    width = int(max(truth.labels.max(initial=0), detections.labels.max(initial=0))) + 1
    keys = number[: len(truth.ids)] * width + truth.labels
    wanted = number[len(truth.ids) :] * width + detections.labels
    order = np.argsort(keys, kind="stable")
    first, last = (np.searchsorted(keys[order], wanted, side) for side in ("left", "right"))
    counts = last - first
    having = np.flatnonzero(counts)
    if not len(having):
        return _Best(rows, overlaps)
    starts = np.concatenate([[0], np.cumsum(counts[having])[:-1]])
    pair = np.repeat(having, counts[having])  # (p,) detection of each pair
    place = np.arange(len(pair)) - np.repeat(starts, counts[having]) + first[pair]
    objects = order[place]  # (p,) object of each pair
    shared = _overlap(detections.boxes[pair].astype(np.float64), truth.boxes[objects].astype(np.float64))
    most = np.maximum.reduceat(shared, starts)
    ranked = np.where(shared == np.repeat(most, counts[having]), np.arange(len(pair)), len(pair))
    rows[having] = objects[np.minimum.reduceat(ranked, starts)]
    overlaps[having] = most
    return _Best(rows, overlaps)


def _overlap(boxes: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union of pairs, (p, 4) and (p, 4) → (p,)."""
    low = np.maximum(boxes[:, :2], others[:, :2])
    high = np.minimum(boxes[:, 2:], others[:, 2:])
    shared: NDArray[np.float64] = (high - low).clip(min=0).prod(axis=1)
    areas = [(each[:, 2:] - each[:, :2]).prod(axis=1) for each in (boxes, others)]
    union: NDArray[np.float64] = areas[0] + areas[1] - shared
    ratio: NDArray[np.float64] = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return ratio


def _right(
    rows: NDArray[np.int64], overlapping: NDArray[np.bool_], difficult: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which detections of a class, by falling score, are right, and which are counted at all."""
    candidates = np.flatnonzero(overlapping & ~difficult)
    right = np.zeros(len(rows), bool)
    _, first = np.unique(rows[candidates], return_index=True)
    right[candidates[first]] = True
    return right, ~(overlapping & difficult)


def _precision(right: NDArray[np.bool_], objects: int, eleven_points: bool) -> float:
    found = np.cumsum(right)
    recall = found / objects
    precision = found / np.arange(1, len(right) + 1)
    # Largest precision at this or a higher recall.
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    if eleven_points:
        places = np.searchsorted(recall, _RECALLS, side="left")
        return float(np.append(envelope, 0.0)[places].mean())
    steps = np.diff(recall, prepend=0.0)
    return float((steps * envelope).sum())
