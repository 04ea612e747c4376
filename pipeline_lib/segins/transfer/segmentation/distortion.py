"""Random changes of colour in training, with the ranges of mmsegmentation's recipe for VOC."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

BRIGHTNESS = 32.0
FACTOR = (0.5, 1.5)
"""Range of the factors of contrast and saturation."""

HUE = 18 / 180
"""Largest turn of the hue, as a share of the circle."""

_HALF = 0.5
_LEVELS = 256


def distorted(image: Image.Image, generator: np.random.Generator) -> Image.Image:
    """Change brightness, contrast, saturation and hue, each half of the times.

    Contrast is a factor on the values, before or after saturation and hue with equal chance; brightness is added first.

    Args:
        image: RGB.
        generator: What draws.

    Returns:
        RGB, of the same size.
    """
    pixels = np.asarray(image)
    if generator.random() < _HALF:
        pixels = _linear(pixels, 1.0, generator.uniform(-BRIGHTNESS, BRIGHTNESS))
    contrast = generator.uniform(*FACTOR) if generator.random() < _HALF else 1.0
    contrast_first = generator.random() < _HALF
    if contrast_first:
        pixels = _linear(pixels, contrast, 0.0)
    saturation = generator.uniform(*FACTOR) if generator.random() < _HALF else 1.0
    turn = generator.uniform(-HUE, HUE) if generator.random() < _HALF else 0.0
    pixels = _coloured(pixels, saturation, turn)
    if not contrast_first:
        pixels = _linear(pixels, contrast, 0.0)
    return Image.fromarray(pixels)


def _linear(pixels: NDArray[np.uint8], factor: float, shift: float) -> NDArray[np.uint8]:
    if factor == 1.0 and shift == 0.0:
        return pixels
    changed: NDArray[np.uint8] = np.clip(pixels.astype(np.float32) * factor + shift, 0, 255).astype(np.uint8)
    return changed


def _coloured(pixels: NDArray[np.uint8], saturation: float, turn: float) -> NDArray[np.uint8]:
    """Multiply the saturation and turn the hue by a share of the circle; uint8 (H, W, 3)."""
    if saturation == 1.0 and turn == 0.0:
        return pixels
    hue, saturations, value = (np.asarray(band) for band in Image.fromarray(pixels).convert("HSV").split())  # (H, W)
    turned = ((hue.astype(np.int32) + round(turn * _LEVELS)) % _LEVELS).astype(np.uint8)
    bands = (turned, _linear(saturations, saturation, 0.0), value)
    return np.asarray(Image.merge("HSV", [Image.fromarray(band) for band in bands]).convert("RGB"))
