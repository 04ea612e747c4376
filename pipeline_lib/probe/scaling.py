"""Scaling of features before a linear classifier: none (as DINOv2), one scalar for all columns, or one for each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline_lib.errors import UserError
from pipeline_lib.probe.features import FeatureBlocks, row_blocks

ScalingName = Literal["none", "global", "standardise"]


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
    first = next(row_blocks(features.count, features.dimension))
    # Sums of deviations from an early mean keep the digits that sums of raw squares would lose.
    shift = features.rows(first).mean(axis=0, dtype=np.float64)
    total = np.zeros(features.dimension)
    squares = np.zeros(features.dimension)
    for block in row_blocks(features.count, features.dimension):
        rows = features.rows(block).astype(np.float64)
        with np.errstate(invalid="ignore"):
            rows -= shift
        total += rows.sum(axis=0)
        squares += np.einsum("ij,ij->j", rows, rows)
    deviation = total / features.count
    variance = np.maximum(squares / features.count - deviation**2, 0.0)
    if not np.isfinite(variance).all():
        raise UserError(
            "features: a linear classifier needs finite values, found NaN or infinity; run the extraction again"
        )
    return ColumnMoments(np.asarray(shift + deviation, dtype=np.float64), variance)


def scaling_tensors(
    name: ScalingName, moments: ColumnMoments, columns: tuple[tuple[int, int], ...]
) -> tuple[Tensor, Tensor]:
    """Mean and inverse scale with which a feature input is scaled as ``(x - mean) * inverse_scale``.

    Args:
        name: ``none``; ``global``: minus each column's mean, divided by the root of the mean variance of the input's
            columns; ``standardise``: minus each column's mean, divided by its standard deviation, where columns that do
            not vary become 0.
        moments: Moments of all columns of the features.
        columns: Column ranges of the input.

    Returns:
        Two tensors (D,) float32.
    """
    dimension = sum(stop - start for start, stop in columns)
    if name == "none":
        return torch.zeros(dimension), torch.ones(dimension)
    mean = np.concatenate([moments.mean[start:stop] for start, stop in columns])
    variance = np.concatenate([moments.variance[start:stop] for start, stop in columns])
    # What varies by less than float32 resolves is rounding, and dividing by it would blow rounding up to unit size.
    varies = variance > (np.finfo(np.float32).eps * np.abs(mean)) ** 2
    if name == "global":
        variance = np.full(dimension, variance.mean())
        varies = np.full(dimension, bool(varies.any()))
    inverse = np.divide(1.0, np.sqrt(variance), out=np.zeros(dimension), where=varies)
    return torch.from_numpy(mean).float(), torch.from_numpy(inverse).float()
