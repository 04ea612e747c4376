"""Textured backgrounds: a colour gradient, noise at several scales and, on some, stripes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_NOISE_CELLS = (3, 6, 13, 32)
_STRIPES_SHARE = 0.4
# Backgrounds keep to muted colours of middle brightness, so that objects of any colour can stand out.
_LOWEST, _HIGHEST = 0.25, 0.75


def textured_background(side: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw a background.

    Args:
        side: Height and width, pixels.
        rng: Source of all draws.

    Returns:
        float32 (side, side, 3), RGB in [0, 1].
    """
    pixels = _gradient(side, rng)
    for cells in _NOISE_CELLS:
        strength = rng.uniform(0.02, 0.16) * (_NOISE_CELLS[0] / cells) ** 0.5
        pixels = pixels + strength * _noise(side, cells, rng)
    if rng.random() < _STRIPES_SHARE:
        pixels = pixels + _stripes(side, rng)
    return np.clip(pixels, 0, 1).astype(np.float32)


def muted_colour(rng: np.random.Generator) -> NDArray[np.float64]:
    """A colour of middle brightness and low saturation, RGB (3,)."""
    grey = rng.uniform(_LOWEST, _HIGHEST)
    return np.clip(grey + rng.uniform(-0.12, 0.12, size=3), 0, 1)


def _gradient(side: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """From one colour to another one near it, across the image in any direction, (side, side, 3)."""
    first = muted_colour(rng)
    second = np.clip(first + rng.uniform(-0.2, 0.2, size=3), 0, 1)
    position = 0.5 + 0.5 * _along(side, rng.uniform(0, 2 * np.pi))  # (side, side)
    return first + (second - first) * position[..., None]


def _along(side: int, angle: float) -> NDArray[np.float64]:
    """Position of every pixel along a direction, in about [-1, 1], (side, side)."""
    axis = np.linspace(-1, 1, side)
    position: NDArray[np.float64] = np.cos(angle) * axis[None, :] + np.sin(angle) * axis[:, None]
    position /= abs(np.cos(angle)) + abs(np.sin(angle))
    return position


def _noise(side: int, cells: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Smooth noise with as many cells along a side, mostly of one colour axis, (side, side, 3), deviation about 1."""
    grid = rng.standard_normal((cells, cells)).astype(np.float32)
    smooth = np.asarray(Image.fromarray(grid).resize((side, side), Image.Resampling.BICUBIC), dtype=np.float64)
    colour = 1 + rng.uniform(-0.7, 0.7, size=3)
    return smooth[..., None] * colour


def _stripes(side: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Stripes of a random direction, width and strength, (side, side, 3)."""
    waves = rng.uniform(2, 8)
    wave = np.sin(np.pi * waves * _along(side, rng.uniform(0, np.pi)) + rng.uniform(0, 2 * np.pi))
    sharp = np.clip(wave * rng.uniform(1, 4), -1, 1)
    return sharp[..., None] * rng.uniform(0.03, 0.10) * (1 + rng.uniform(-0.6, 0.6, size=3))
