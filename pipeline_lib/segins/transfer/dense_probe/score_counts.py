"""Scores of all pixels of a data set against their truth, by counts of narrow bins: memory does not grow."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from pipeline_lib.artifacts.objects import IGNORED
from pipeline_lib.base.errors import UserError

LOWEST, HIGHEST = -0.5, 1.5
"""Scores beyond are counted with these; a regression on 0 and 1 gives few of them."""

BINS = 1 << 14


class ScoreCounts:
    """Counts of pixels by truth and score.

    Attributes:
        counts: int64 (2, BINS): pixels of background and of objects in each bin of scores.
    """

    def __init__(self) -> None:
        """Start at zero."""
        self.counts: NDArray[np.int64] = np.zeros((2, BINS), dtype=np.int64)

    def add(self, scores: NDArray[np.float64], truth: NDArray[np.uint8]) -> None:
        """Count the pixels of an image.

        Args:
            scores: float (H, W), higher where an object is likelier.
            truth: Classes, uint8 (H, W): 0 background, 255 not counted.
        """
        known = truth != IGNORED
        places = np.floor((scores[known] - LOWEST) / (HIGHEST - LOWEST) * BINS).astype(np.int64)
        places = np.clip(places, 0, BINS - 1) + BINS * (truth[known] > 0)
        self.counts += np.bincount(places, minlength=2 * BINS).reshape(2, BINS)

    def object_share(self) -> float:
        """Share of the counted pixels that are object: the average precision of a score that knows nothing."""
        return float(self.counts[1].sum() / max(1, self.counts.sum()))

    def average_precision(self) -> float:
        """Average precision of the score over all counted pixels, in [0, 1].

        Raises:
            UserError: No counted pixel is object.
        """
        if not self.counts[1].any():
            raise UserError("dense_probe: no pixel of the tested images is object; choose another data set")
        bins = np.tile(np.arange(BINS), 2)  # (2 · BINS,)
        truth = np.repeat([0, 1], BINS)
        weights = self.counts.ravel()
        there = weights > 0
        return float(average_precision_score(truth[there], bins[there], sample_weight=weights[there]))

    def iou(self) -> NDArray[np.float64]:
        """IoU of the pixels from each bin upwards with the objects, float64 (BINS,); 0 where both are empty."""
        found = self.counts[:, ::-1].cumsum(axis=1)[:, ::-1]  # (2, BINS)
        union = found[0] + self.counts[1].sum()
        iou: NDArray[np.float64] = np.divide(found[1], union, out=np.zeros(BINS), where=union > 0)
        return iou

    def best_bin(self) -> int:
        """Bin from which upwards the pixels have the best IoU; of equal ones the lowest."""
        return int(np.argmax(self.iou()))


def lower_edge(place: int) -> float:
    """Lowest score of a bin."""
    return LOWEST + place * (HIGHEST - LOWEST) / BINS
