"""Textured backgrounds: a colour gradient, noise at several scales and, on some, stripes."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_NOISE_CELLS = (3, 6, 13, 32)
_STRIPES_SHARE = 0.4
# Backgrounds keep to muted colours of middle brightness, so that objects of any colour can stand out.
_LOWEST, _HIGHEST = 0.25, 0.75


def textured_background(side: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw a background: one colour, and grey textures each of which is added in a colour of its own.

    Args:
        side: Height and width, pixels.
        rng: Source of all draws.

    Returns:
        float32 (side, side, 3), RGB in [0, 1].
    """
    base = rng.uniform(_LOWEST, _HIGHEST) + rng.uniform(-0.12, 0.12, size=3)
    textures = [_along(side, rng.uniform(0, 2 * np.pi))]
    colours = [rng.uniform(-0.1, 0.1, size=3)]
    for cells in _NOISE_CELLS:
        strength = rng.uniform(0.02, 0.16) * (_NOISE_CELLS[0] / cells) ** 0.5
        textures.append(_noise(side, cells, rng))
        colours.append(strength * (1 + rng.uniform(-0.7, 0.7, size=3)))
    if rng.random() < _STRIPES_SHARE:
        textures.append(_stripes(side, rng))
        colours.append(rng.uniform(0.03, 0.10) * (1 + rng.uniform(-0.6, 0.6, size=3)))
    pixels = np.broadcast_to(base.astype(np.float32), (side, side, 3)).copy()
    # A matrix product would round as the machine's linear algebra library does; scenes are to be equal everywhere.
    for texture, colour in zip(textures, colours, strict=True):
        pixels += texture[..., None] * colour.astype(np.float32)
    clipped: NDArray[np.float32] = np.clip(pixels, 0, 1)
    return clipped


def shared_background(side: int, number: int, seed: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """A part of one of the textures that scenes share, mirrored or not.

    Args:
        side: Height and width of the part; the texture is twice as large.
        number: Number of the texture.
        seed: Seed of the textures.
        rng: Source of the place and of mirroring.

    Returns:
        float32 (side, side, 3), RGB in [0, 1].
    """
    whole = _shared_texture(2 * side, number, seed)
    top, left = (int(place) for place in rng.integers(side + 1, size=2))
    part = whole[top : top + side, left : left + side]
    return (part[:, ::-1] if rng.random() < 0.5 else part).copy()


@lru_cache(maxsize=256)
def _shared_texture(side: int, number: int, seed: int) -> NDArray[np.float32]:
    return textured_background(side, np.random.default_rng([seed, 2, number]))


def _along(side: int, angle: float) -> NDArray[np.float32]:
    """Position of every pixel along a direction, in [-1, 1], (side, side)."""
    axis = np.linspace(-1, 1, side, dtype=np.float32)
    weights = np.array([np.cos(angle), np.sin(angle)], dtype=np.float32)
    weights /= np.abs(weights).sum()
    position: NDArray[np.float32] = weights[0] * axis[None, :] + weights[1] * axis[:, None]
    return position


def _noise(side: int, cells: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Smooth noise with as many cells along a side, (side, side), deviation about 1."""
    grid = rng.standard_normal((cells, cells), dtype=np.float32)
    return np.asarray(Image.fromarray(grid).resize((side, side), Image.Resampling.BICUBIC))


def _stripes(side: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Stripes of a random direction and width, soft or sharp, in [-1, 1], (side, side)."""
    phase = np.float32(rng.uniform(2, 8) * np.pi) * _along(side, rng.uniform(0, np.pi))
    wave = np.sin(phase + np.float32(rng.uniform(0, 2 * np.pi)))
    clipped: NDArray[np.float32] = np.clip(wave * np.float32(rng.uniform(1, 4)), -1, 1)
    return clipped
