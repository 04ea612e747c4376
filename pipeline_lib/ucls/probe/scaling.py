"""Scaling of features before a linear classifier: none (as DINOv2), one scalar for all columns, or one for each."""

from __future__ import annotations

from typing import assert_never

import numpy as np
import torch
from torch import Tensor

from pipeline_lib.features.moments import ColumnMoments
from pipeline_lib.ucls.probe.settings import ScalingName


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
    match name:
        case "global":
            variance = np.full(dimension, variance.mean())
            varies = np.full(dimension, bool(varies.any()))
        case "standardise":
            pass
        case _:
            assert_never(name)
    inverse = np.divide(1.0, np.sqrt(variance), out=np.zeros(dimension), where=varies)
    return torch.from_numpy(mean).float(), torch.from_numpy(inverse).float()
