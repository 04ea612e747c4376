"""Masks that look at no pixel: what a pseudo-mask has to beat."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def centre_ellipse(height: int, width: int, share: float) -> NDArray[np.bool_]:
    """A centred ellipse of the image's proportions.

    Args:
        height: Pixels.
        width: Pixels.
        share: Part of the image that it covers, in (0, π/4]; at π/4 it touches the borders.

    Returns:
        bool (height, width).
    """
    half = math.sqrt(share / math.pi)  # half axes as parts of the sides
    y = (np.arange(height) + 0.5) / height - 0.5
    x = (np.arange(width) + 0.5) / width - 0.5
    return np.asarray((y[:, None] ** 2 + x[None, :] ** 2) <= half**2)


def whole_image(height: int, width: int) -> NDArray[np.bool_]:
    """The whole image as foreground, bool (height, width)."""
    return np.ones((height, width), dtype=bool)
