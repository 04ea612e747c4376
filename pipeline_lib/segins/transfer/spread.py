"""Test images where not all are tested."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def spread_rows(count: int, wanted: int | None) -> NDArray[np.int64]:
    """``wanted`` of ``count`` rows, evenly spread, int64; all where there are not more."""
    number = count if wanted is None else min(wanted, count)
    return np.arange(number, dtype=np.int64) * count // max(1, number)
