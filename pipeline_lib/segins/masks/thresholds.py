"""From a soft map to a binary mask, without looking at the truth."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

_BINS = 256


def otsu_threshold(values: NDArray[np.floating[Any]]) -> float:
    """The threshold that leaves the least variance within its two sides (Otsu 1979).

    Args:
        values: In [0, 1], any shape.

    Returns:
        A bound between two of 256 bins, in (0, 1); the middle of equally good ones. 1 where all values are in one bin:
        then nothing is above.
    """
    counts = np.bincount(np.minimum(values.ravel() * _BINS, _BINS - 1).astype(np.int64), minlength=_BINS)
    below = np.cumsum(counts)[:-1].astype(np.float64)  # (255,) values below each bound
    above = values.size - below
    sums = np.cumsum(counts * (np.arange(_BINS) + 0.5))
    with np.errstate(invalid="ignore", divide="ignore"):
        gap = sums[:-1] / below - (sums[-1] - sums[:-1]) / above
    between = np.where((below > 0) & (above > 0), below * above * gap**2, 0.0)
    if not between.any():
        return 1.0
    best = np.flatnonzero(between >= between.max() * (1 - 1e-12))
    return float(best[0] + best[-1] + 2) / (2 * _BINS)


def thresholded(values: NDArray[np.floating[Any]], threshold: float | Literal["auto"]) -> NDArray[np.bool_]:
    """Pixels above the threshold; ``auto``: above each image's own of :func:`otsu_threshold`."""
    return values > (otsu_threshold(values) if threshold == "auto" else threshold)
