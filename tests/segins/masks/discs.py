"""Images of bright discs on noise."""

import numpy as np
from PIL import Image

COUNT = 10
HEIGHT, WIDTH = 48, 64
Disc = tuple[int, int, int]


def disc_of(row: int) -> Disc:
    """Centre x and y and radius of the disc of an image."""
    return 16 + 3 * row, 14 + 2 * row, 8


def disc_mask(row: int) -> np.ndarray:
    x, y, radius = disc_of(row)
    return (np.arange(HEIGHT)[:, None] - y) ** 2 + (np.arange(WIDTH)[None] - x) ** 2 <= radius**2


def image_of(row: int) -> Image.Image:
    pixels = np.random.default_rng(row).integers(0, 90, size=(HEIGHT, WIDTH, 3)).astype(np.uint8)
    pixels[disc_mask(row)] = (250, 220, 40)
    return Image.fromarray(pixels)
