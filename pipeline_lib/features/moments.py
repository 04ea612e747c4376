"""Mean and variance of every feature column, in one pass over blocks of rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline_lib.base.errors import UserError
from pipeline_lib.base.row_blocks import bounded_row_blocks
from pipeline_lib.features.blocks import FeatureBlocks


@dataclass(frozen=True)
class ColumnMoments:
    """Mean and population variance of every column, (d,) float64 each."""

    mean: NDArray[np.float64]
    variance: NDArray[np.float64]


def column_moments(features: FeatureBlocks) -> ColumnMoments:
    """Moments of all columns in one pass over blocks of rows.

    Raises:
        UserError: There is no row, or a value is NaN or infinite.
    """
    if features.count == 0:
        raise UserError("features: there are no rows; at least 1 is needed")
    first = next(bounded_row_blocks(features.count, features.dimension))
    # Sums of deviations from an early mean keep the digits that sums of raw squares would lose.
    shift = features.rows(first).mean(axis=0, dtype=np.float64)
    total = np.zeros(features.dimension)
    squares = np.zeros(features.dimension)
    for block in bounded_row_blocks(features.count, features.dimension):
        rows = features.rows(block).astype(np.float64)
        with np.errstate(invalid="ignore"):
            rows -= shift
        total += rows.sum(axis=0)
        squares += np.einsum("ij,ij->j", rows, rows)
    deviation = total / features.count
    variance = np.maximum(squares / features.count - deviation**2, 0.0)
    if not np.isfinite(variance).all():
        raise UserError(
            "features: NaN, infinite or very large values; finite ones are needed; run the extraction again"
        )
    return ColumnMoments(np.asarray(shift + deviation, dtype=np.float64), variance)
