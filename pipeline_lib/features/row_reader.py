"""Feature rows as tensors on the training device: held there when they fit, else read for every batch."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline_lib.base.row_blocks import bounded_row_blocks
from pipeline_lib.features.blocks import FeatureBlocks


def as_tensor(rows: NDArray[np.float32]) -> Tensor:
    """The rows as a CPU tensor; a copy where they are a read-only view, which torch must not write to."""
    return torch.from_numpy(rows if rows.flags.writeable else rows.copy())


class RowReader:
    """Reads rows as float32 tensors on a device; holds all of them there when they fit.

    Rows that fit the memory but not a CUDA device are held in pinned memory, from which batches go to the device beside
    its work.

    Args:
        features: The features.
        device: Where tensors go.
        budget: Bytes of float32 features that may be held in memory; above it rows are read again each time.
        device_budget: Bytes that may be held on a CUDA device; None: as many as in memory.
    """

    def __init__(
        self, features: FeatureBlocks, device: torch.device, budget: int, device_budget: int | None = None
    ) -> None:
        self._features = features
        self._device = device
        self._held: Tensor | None = None
        size = 4 * features.count * features.dimension
        if size <= (budget if device_budget is None else device_budget):
            self._held = torch.empty(features.count, features.dimension, device=device)
        elif size <= budget:
            self._held = torch.empty(features.count, features.dimension, pin_memory=True)
        if self._held is not None:
            for block in bounded_row_blocks(features.count, features.dimension):
                self._held[block] = as_tensor(features.rows(block))

    def __call__(self, indices: NDArray[np.int64]) -> Tensor:
        """Rows of ``indices`` (b,) as float32 (b, d)."""
        if self._held is None:
            return as_tensor(self._features.rows(indices)).to(self._device)
        places = torch.from_numpy(indices)
        if self._held.device.type == "cpu":
            rows = self._held.index_select(0, places)
            return rows if self._device.type == "cpu" else rows.pin_memory().to(self._device, non_blocking=True)
        if self._device.type == "cuda":
            places = places.pin_memory()
        return self._held.index_select(0, places.to(self._device, non_blocking=True))
