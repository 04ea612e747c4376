"""How good masks are, where truth exists: IoU with the objects, and CorLoc (Deselaers et al. 2010)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pipeline_lib.segins.masks.truth import ImageTruth

THRESHOLDS = tuple(step / 20 for step in range(1, 20))
"""Thresholds among which the best is looked for, with the truth."""

_LOCALISED = 0.5


def intersection_over_union(
    mask: NDArray[np.bool_], truth: NDArray[np.bool_], counted: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """IoU over the counted pixels, (..., H, W) and (H, W) to (...); 0 where both are empty."""
    both = (mask & truth & counted).sum(axis=(-2, -1))
    either = ((mask | truth) & counted).sum(axis=(-2, -1))
    return np.asarray(both / np.maximum(either, 1), dtype=np.float64)


def largest_component_box(mask: NDArray[np.bool_]) -> NDArray[np.float64] | None:
    """Box x0, y0, x1, y1 (ends exclusive) of the largest connected part (4 neighbours); ``None`` for an empty mask."""
    components, count = ndimage.label(mask)
    if count == 0:
        return None
    largest = int(np.bincount(components.ravel())[1:].argmax())
    rows, columns = ndimage.find_objects(components)[largest]
    return np.array([columns.start, rows.start, columns.stop, rows.stop], dtype=np.float64)


def is_localised(mask: NDArray[np.bool_], boxes: NDArray[np.float64]) -> bool:
    """Whether the box of the mask's largest part overlaps a true box (n, 4) with an IoU of at least 0.5."""
    box = largest_component_box(mask)
    if box is None:
        return False
    low, high = np.maximum(boxes[:, :2], box[:2]), np.minimum(boxes[:, 2:], box[2:])
    both = np.prod(np.clip(high - low, 0, None), axis=1)  # (n,)
    either = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) + np.prod(box[2:] - box[:2]) - both
    return bool((both / either >= _LOCALISED).any())


def _lists() -> defaultdict[str, list[float]]:
    return defaultdict(list)


class MaskScores:
    """Collects the scores of several kinds of masks on the same images, and of thresholds of the soft maps."""

    def __init__(self) -> None:
        self._values: defaultdict[str, defaultdict[str, list[float]]] = defaultdict(_lists)
        self._by_threshold: defaultdict[str, list[NDArray[np.float64]]] = defaultdict(list)

    def add(self, masks: Mapping[str, NDArray[np.bool_]], soft: NDArray[np.float32], truth: ImageTruth) -> None:
        """Score one image.

        Args:
            masks: By kind, bool (H, W) each.
            soft: Map of the pseudo-mask, float32 (H, W).
            truth: Truth of the same size.
        """
        targets = {"boxes": truth.in_boxes} | ({} if truth.on_objects is None else {"masks": truth.on_objects})
        above = soft > np.array(THRESHOLDS, dtype=np.float32)[:, None, None]  # (t, H, W)
        for name, target in targets.items():
            self._by_threshold[name].append(intersection_over_union(above, target, truth.counted))
        for kind, mask in masks.items():
            for name, target in targets.items():
                iou = float(intersection_over_union(mask, target, truth.counted))
                self._values[kind][f"iou_with_{name}"].append(iou)
            self._values[kind]["corloc"].append(float(is_localised(mask, truth.boxes)))
            self._values[kind]["foreground_share"].append(float(mask.mean()))

    def add_scores(self, others: MaskScores) -> None:
        """Take over the scores of other images, after those that are here."""
        for name, by_threshold in others._by_threshold.items():
            self._by_threshold[name] += by_threshold
        for kind, scores in others._values.items():
            for name, values in scores.items():
                self._values[kind][name] += values

    def metrics(self) -> dict[str, Any]:
        """Means over the scored images.

        Returns:
            ``images_with_masks`` and ``images_with_boxes``; by kind ``iou_with_masks`` (where any image has masks),
            ``iou_with_boxes``, ``corloc`` and ``foreground_share``; and ``oracle_threshold`` with the best single
            threshold, chosen with the truth, and the mean IoU that it gives.
        """
        counts = {f"images_with_{name}": len(self._by_threshold[name]) for name in ("masks", "boxes")}
        if not counts["images_with_boxes"]:
            return dict(counts)
        kinds = {
            kind: {name: round(float(np.mean(scores[name])), 4) for name in sorted(scores)}
            for kind, scores in self._values.items()
        }
        name = "masks" if counts["images_with_masks"] else "boxes"
        by_threshold = np.mean(self._by_threshold[name], axis=0)  # (t,)
        best = int(by_threshold.argmax())
        oracle = {"threshold": THRESHOLDS[best], f"iou_with_{name}": round(float(by_threshold[best]), 4)}
        return {**counts, **kinds, "oracle_threshold": oracle}
