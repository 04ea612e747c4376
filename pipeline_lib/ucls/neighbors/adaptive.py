"""Which of an image's ranked candidates are its neighbours (thesis 5.2.5), and lengths that suit the classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline_lib.base.errors import UserError


@dataclass(frozen=True)
class AdaptiveRule:
    """At least the ``k_min`` nearest, also all with a similarity of at least ``threshold``, at most ``k_max``.

    The comparison is in float32, before similarities are rounded for storage. A threshold of 1 keeps the ``k_min``
    nearest only, also where duplicates have a similarity of 1: thesis Table 6.16, first row.

    Attributes:
        threshold: Cosine similarity, -1 to 1.
        k_min: Neighbours that every image gets, however far.
        k_max: Longest list.
        adaptive: Whether the threshold counts; otherwise every list is ``k_min`` long.

    Raises:
        UserError: A value is out of its range.
    """

    threshold: float
    k_min: int
    k_max: int
    adaptive: bool = True

    def __post_init__(self) -> None:
        if not -1 <= self.threshold <= 1:
            raise UserError(f"threshold = {self.threshold}: a cosine similarity from -1 to 1 is needed")
        if self.k_min < 1:
            raise UserError(f"k_min = {self.k_min}: at least 1 is needed")
        if self.k_max < self.k_min:
            raise UserError(f"k_max = {self.k_max}: at least k_min = {self.k_min} is needed")

    @property
    def extends(self) -> bool:
        """Whether the threshold can add neighbours beyond ``k_min``."""
        return self.adaptive and self.threshold < 1 and self.k_max > self.k_min

    @property
    def longest(self) -> int:
        """Length that no list exceeds."""
        return self.k_max if self.extends else self.k_min

    @property
    def limit(self) -> np.float32:
        """Similarity from which a candidate past ``k_min`` is kept; infinite where none is."""
        return np.float32(self.threshold if self.extends else np.inf)

    def keeps(self, rank: NDArray[np.int64], similarity: NDArray[np.float32]) -> NDArray[Any]:
        """Which candidates are neighbours.

        Args:
            rank: Position in the list ranked by similarity, from 0.
            similarity: Their similarity, float32, same shape.

        Returns:
            A mask of the same shape.
        """
        mask: NDArray[Any] = (rank < self.k_min) | ((rank < self.longest) & (similarity >= self.limit))
        return mask


def fitted_k_min(count: int, classes: int) -> int:
    """A tenth of the mean class size, 10 to 50; 50 is the thesis' value for ImageNet-100 (1,286 images a class).

    Args:
        count: Number of images.
        classes: Number of classes.

    Returns:
        The shortest list.
    """
    return min(50, max(10, count // (10 * classes)))


def fitted_k_max(count: int, classes: int, k_min: int) -> int:
    """The mean class size: a longer list must hold images of other classes.

    Args:
        count: Number of images.
        classes: Number of classes.
        k_min: The shortest list.

    Returns:
        The longest list, at least ``k_min``.
    """
    return max(k_min, count // classes)
