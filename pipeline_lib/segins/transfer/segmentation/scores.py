"""Mean IoU from a confusion matrix that grows image by image."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline_lib.artifacts.objects import IGNORED


class ConfusionMatrix:
    """Counts of pixels by true and predicted class.

    Attributes:
        counts: int64 (C, C), true classes in rows.
    """

    def __init__(self, classes: int) -> None:
        """Start at zero.

        Args:
            classes: Number of classes, the background among them.
        """
        self.counts: NDArray[np.int64] = np.zeros((classes, classes), dtype=np.int64)

    def add(self, truth: NDArray[np.uint8], predicted: NDArray[np.uint8]) -> None:
        """Count the pixels of an image; those whose true class is 255 are left out.

        Args:
            truth: True classes, uint8 (H, W).
            predicted: Predicted classes, uint8 (H, W).
        """
        classes = len(self.counts)
        known = truth != IGNORED
        pairs = truth[known].astype(np.int64) * classes + predicted[known]
        self.counts += np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)

    def class_iou(self) -> NDArray[np.float64]:
        """IoU of each class, float64 (C,); NaN where a class is neither in the truth nor predicted."""
        hits = np.diag(self.counts).astype(np.float64)
        union = self.counts.sum(axis=0) + self.counts.sum(axis=1) - hits
        iou: NDArray[np.float64] = np.divide(hits, union, out=np.full(len(hits), np.nan), where=union > 0)
        return iou

    def measures(self) -> dict[str, Any]:
        """Scores between 0 and 1 over all counted pixels.

        Returns:
            ``miou`` (mean over classes that occur) and ``pixel_acc``.
        """
        return {
            "miou": float(np.nanmean(self.class_iou())),
            "pixel_acc": float(np.diag(self.counts).sum() / max(1, self.counts.sum())),
        }
