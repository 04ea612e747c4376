"""Feature rows for training: gathered from the memory-mapped file, or held on the device when they fit."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class FeatureBlocks(Protocol):
    """Features of one split that need not fit in memory."""

    @property
    def count(self) -> int:
        """Number of rows."""

    @property
    def dimension(self) -> int:
        """Number of columns."""

    def rows(self, indices: "slice | NDArray[np.int64]") -> NDArray[np.float32]:
        """Rows as float32, (b, D)."""


class FeatureRows:
    """Gathers rows as float32 tensors on the training device.

    Args:
        features: The features.
        device: Training device.
        budget: Bytes of float32 features that may be held; above it every batch is read from the file.
    """

    def __init__(self, features: FeatureBlocks, device: torch.device, budget: int) -> None:
        self._features = features
        self._device = device
        self._held: Tensor | None = None
        if features.count * features.dimension * 4 <= budget:
            self._held = torch.empty(features.count, features.dimension, device=device)
            for start in range(0, features.count, 65536):
                stop = min(start + 65536, features.count)
                self._held[start:stop] = torch.from_numpy(features.rows(slice(start, stop)))

    def __call__(self, indices: NDArray[np.int64]) -> Tensor:
        """Rows of ``indices`` (b,) as float32 (b, D)."""
        if self._held is not None:
            return self._held[torch.from_numpy(indices).to(self._device)]
        return torch.from_numpy(self._features.rows(indices)).to(self._device)

    def moments(self) -> tuple[Tensor, Tensor]:
        """Mean and unbiased variance of every column, (D,) each, accumulated in float64 blocks."""
        total: NDArray[Any] = np.zeros(self._features.dimension)
        squares: NDArray[Any] = np.zeros(self._features.dimension)
        count = self._features.count
        blocks = [slice(start, min(start + 16384, count)) for start in range(0, count, 16384)]
        for block in blocks:
            total += self._features.rows(block).sum(axis=0, dtype=np.float64)
        mean = total / count
        for block in blocks:
            squares += np.square(self._features.rows(block) - mean).sum(axis=0)
        variance = squares / max(1, count - 1)
        return torch.from_numpy(mean).float(), torch.from_numpy(variance).float()
