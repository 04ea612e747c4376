"""Lengths of neighbour lists that suit the size of a class."""

from __future__ import annotations


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
