"""True neighbours: all other images of the same class, the upper bound on neighbour quality (thesis Table 6.5)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline_lib.artifacts.neighbors import distinct_picks
from pipeline_lib.base.errors import UserError


class UpperBoundNeighbors:
    """Draws neighbours by true class, without holding a list of them: memory grows with the number of images only.

    Images without a true neighbour, because their class is unknown or has no other image, are left out: there is
    nothing to pair them with.

    Args:
        labels: Class of every image, (n,), -1 where unknown.

    Attributes:
        rows: Images that have a neighbour, ascending, (r,) int64. ``draw`` counts within these.

    Raises:
        UserError: No class has two images.
    """

    def __init__(self, labels: NDArray[np.int32]) -> None:
        _, inverse, sizes = np.unique(labels, return_inverse=True, return_counts=True)
        self.rows = np.flatnonzero((labels >= 0) & (sizes[inverse] > 1))
        if not len(self.rows):
            raise UserError("labels: true neighbours need a class with at least two training images; there is none")
        kept = labels[self.rows]
        self._by_class = np.argsort(kept, kind="stable")  # images of a class stand together
        _, class_of, self._sizes = np.unique(kept, return_inverse=True, return_counts=True)
        self._class_of = class_of
        self._starts = np.concatenate([[0], np.cumsum(self._sizes)[:-1]])
        self._place = np.empty(len(kept), dtype=np.int64)
        self._place[self._by_class] = np.arange(len(kept))

    def draw(self, rows: NDArray[np.int64], uniforms: NDArray[np.float64]) -> NDArray[np.int64]:
        """Pick other images of the same class, each equally likely; without repeats while there are enough.

        Args:
            rows: Numbers within :attr:`rows`, (B,).
            uniforms: Uniform numbers in [0, 1), (B, M).

        Returns:
            Numbers within :attr:`rows`, (B, M); never an image's own.
        """
        classes = self._class_of[rows]
        starts = self._starts[classes]  # (B,)
        picks = distinct_picks(self._sizes[classes] - 1, uniforms)  # (B, M), among the others of the class
        own = (self._place[rows] - starts)[:, None]
        return np.asarray(self._by_class[starts[:, None] + picks + (picks >= own)], dtype=np.int64)
