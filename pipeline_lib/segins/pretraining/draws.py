"""Random parameters of views: each image's draws depend on seed, epoch and image alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_ATTEMPTS = 10
_RATIO = (3 / 4, 4 / 3)
_CROP_DRAWS = 2 * _ATTEMPTS + 3
_JITTER = np.array([0.4, 0.4, 0.4, 0.1])
_JITTER_SHARE = 0.8
_GREY_SHARE = 0.2
_BLUR_SHARE = 0.5
_BLUR_SIGMA = (0.1, 2.0)
_COLOUR_DRAWS = 12
DRAWS_PER_VIEW = _CROP_DRAWS + _COLOUR_DRAWS


def uniform_draws(seed: int, epoch: int, rows: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    """Numbers in [0, 1) that depend on seed, epoch and row alone, so not on who draws them or in which order.

    Args:
        seed: Seed of the run.
        epoch: Number of the epoch.
        rows: Rows of the images, (n,).
        count: Numbers an image.

    Returns:
        (n, count).
    """
    result = np.empty((len(rows), count))
    for position, row in enumerate(rows):
        # A counter-based generator needs no warming up; the row selects its own stretch of the sequence.
        bits = np.random.Philox(key=[seed, epoch], counter=[0, int(row), 0, 0])
        result[position] = np.random.Generator(bits).random(count)
    return result


@dataclass(frozen=True)
class Crop:
    """A random resized crop.

    Attributes:
        top: First row of pixels.
        left: First column.
        height: Rows.
        width: Columns.
        flip: Whether it is mirrored left to right.
    """

    top: int
    left: int
    height: int
    width: int
    flip: bool


def drawn_crop(draws: NDArray[np.float64], height: int, width: int, scale: tuple[float, float]) -> Crop:
    """Random resized crop (Szegedy et al., 2015) with an aspect ratio of 3/4 to 4/3, and a flip with p = 0.5.

    Ten areas and ratios are tried; where none fits into the image, the largest central crop of an allowed ratio is
    taken.

    Args:
        draws: Numbers in [0, 1), the crop's part of an image's draws, (DRAWS_PER_VIEW,).
        height: Height of the image, pixels.
        width: Width of the image, pixels.
        scale: Area as a share of the image, lowest and highest.

    Returns:
        The crop.
    """
    u = draws[:_CROP_DRAWS]
    area = height * width * (scale[0] + u[:_ATTEMPTS] * (scale[1] - scale[0]))  # (10,)
    low, high = np.log(_RATIO)
    ratio = np.exp(low + u[_ATTEMPTS : 2 * _ATTEMPTS] * (high - low))
    widths, heights = np.rint(np.sqrt(area * ratio)), np.rint(np.sqrt(area / ratio))
    fitting = np.flatnonzero((widths >= 1) & (widths <= width) & (heights >= 1) & (heights <= height))
    flip = bool(u[-1] < 0.5)
    if len(fitting):
        h, w = int(heights[fitting[0]]), int(widths[fitting[0]])
        return Crop(int(u[-3] * (height - h + 1)), int(u[-2] * (width - w + 1)), h, w, flip)
    w = min(width, round(height * _RATIO[1]))
    h = min(height, round(width / _RATIO[0]))
    return Crop((height - h) // 2, (width - w) // 2, h, w, flip)


@dataclass(frozen=True)
class ColourDraws:
    """Changes of colour of n views.

    Attributes:
        factors: Brightness, contrast and saturation factors and hue shift (in turns), float32 (n, 4).
        order: Order in which these four are applied, int64 (n, 4).
        jitter: Whether they are applied at all, bool (n,).
        grey: Whether the view is made grey, bool (n,).
        sigma: Standard deviation of the blur in pixels, float32 (n,); 0 for none.
    """

    factors: NDArray[np.float32]
    order: NDArray[np.int64]
    jitter: NDArray[np.bool_]
    grey: NDArray[np.bool_]
    sigma: NDArray[np.float32]


def drawn_colours(draws: NDArray[np.float64]) -> ColourDraws:
    """Colour changes of MoCo-V2 and SimSiam.

    ColorJitter(0.4, 0.4, 0.4, 0.1) with p = 0.8, grey with p = 0.2, blur of σ in [0.1, 2] pixels with p = 0.5.

    Args:
        draws: Numbers in [0, 1) of n views, (n, DRAWS_PER_VIEW).

    Returns:
        The changes.
    """
    u = draws[:, _CROP_DRAWS:]  # (n, 12)
    centre = np.array([1.0, 1.0, 1.0, 0.0])
    low, high = _BLUR_SIGMA
    return ColourDraws(
        factors=(centre + (2 * u[:, :4] - 1) * _JITTER).astype(np.float32),
        order=u[:, 4:8].argsort(axis=1),
        jitter=u[:, 8] < _JITTER_SHARE,
        grey=u[:, 9] < _GREY_SHARE,
        sigma=np.where(u[:, 10] < _BLUR_SHARE, low + u[:, 11] * (high - low), 0).astype(np.float32),
    )
