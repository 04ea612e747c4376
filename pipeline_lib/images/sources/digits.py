"""scikit-learn's 1,797 handwritten digits: a data set that needs no network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

from pipeline_lib.images.sources.array_sets import ArraySplit, source_of_arrays
from pipeline_lib.images.sources.records import Source

_BRIGHTEST = 16


def open_digits(_root: Path) -> Source:
    """Open the digits: grey 8 × 8 images without a split of their own, their values 0-16 scaled to 0-255."""
    digits = load_digits()
    pixels = np.rint(digits.images * (255 / _BRIGHTEST)).astype(np.uint8)  # (n, 8, 8)
    names = [str(name) for name in digits.target_names]
    return source_of_arrays("digits", {"train": ArraySplit(pixels, digits.target)}, names)
