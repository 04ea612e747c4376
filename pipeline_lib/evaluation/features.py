"""What the evaluation needs to know of features: how many, how wide, and how to read some rows."""

from __future__ import annotations

from typing import Protocol

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
        """Rows as float32, (b, d)."""
