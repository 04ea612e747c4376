"""What a method needs to know of features: how many rows, how wide, and how to read some of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class FeatureBlocks(Protocol):
    """Features of one split that need not fit in memory."""

    @property
    def count(self) -> int:
        """Number of rows n."""

    @property
    def dimension(self) -> int:
        """Number of columns d."""

    def rows(self, indices: slice | NDArray[np.int64]) -> NDArray[np.float32]:
        """Rows as float32, (b, d); maybe a read-only view."""


class NamedFeatureBlocks(FeatureBlocks, Protocol):
    """Features whose columns are made of blocks with names, such as ``cls`` and ``patch_mean``."""

    @property
    def columns(self) -> Mapping[str, tuple[int, int]]:
        """First column and column after the last of each block, by name."""


class ArrayFeatures:
    """Features that are held in memory.

    Attributes:
        count: Number of rows n.
        dimension: Number of columns d.

    Args:
        array: The features, float (n, d).
    """

    def __init__(self, array: NDArray[np.floating[Any]]) -> None:
        self.count, self.dimension = array.shape
        self._array = np.asarray(array, dtype=np.float32)

    def rows(self, indices: slice | NDArray[np.int64]) -> NDArray[np.float32]:
        """Rows as float32, (b, d); a view where a slice is asked for."""
        return self._array[indices]
