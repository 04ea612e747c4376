"""Rows in consecutive blocks: how everything here walks over arrays that need not fit in memory; or some of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

_BLOCK_ELEMENTS = 1 << 22


def row_blocks(count: int, rows: int) -> Iterator[slice]:
    """Consecutive slices that cover ``count`` rows, each of ``rows`` rows; the last may have fewer."""
    return (slice(start, min(start + rows, count)) for start in range(0, count, rows))


def bounded_row_blocks(count: int, width: int) -> Iterator[slice]:
    """Consecutive slices that cover ``count`` rows of ``width`` values, each of 4 million values or one row at most."""
    return row_blocks(count, max(1, _BLOCK_ELEMENTS // max(1, width)))


def spread_rows(count: int, wanted: int | None) -> NDArray[np.int64]:
    """``wanted`` of ``count`` rows, evenly spread, int64; all where there are not more."""
    number = count if wanted is None else min(wanted, count)
    return np.arange(number, dtype=np.int64) * count // max(1, number)
