"""A picture of pseudo-masks: images with their soft map, their mask, and the truth where there is one.

The mask stands there as black and white (thesis Figure 4.2) and cut out of the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from pipeline_lib.reports.drawing.panels import INK
from pipeline_lib.reports.drawing.tiles import FAINT_INK, LARGE, MARGIN, SMALL, font, paste_tile, scaled, write_tiles

SAMPLES = 16
"""Images that the picture shows."""

_TILE = 104
_SPACE = 4
_GAP = 24
_HEADER = 66
_COLUMNS = 2
_TITLES = ("image", "soft map", "mask", "cut out", "truth")
_OUTLINE = (255, 60, 60)


@dataclass(frozen=True)
class MaskSample:
    """One image with its mask.

    Attributes:
        image: The image in RGB.
        soft: What the mask was cut out of, float (H, W) in [0, 1].
        mask: Foreground, bool (H, W).
        objects: True foreground, bool (H, W), or ``None``.
        boxes: True boxes for images without ``objects``, float (n, 4) in pixels of the mask, or ``None``.
    """

    image: Image.Image
    soft: NDArray[np.float32]
    mask: NDArray[np.bool_]
    objects: NDArray[np.bool_] | None
    boxes: NDArray[np.float64] | None


def sample_rows(count: int) -> list[int]:
    """Rows of the images to show, spread evenly over a data set."""
    return [int(row) for row in np.unique(np.linspace(0, count - 1, min(count, SAMPLES)).round())]


def write_mask_gallery(path: Path, samples: Sequence[MaskSample], title: str, facts: str) -> None:
    """Draw the samples into a PNG file, two a line; equal inputs make equal bytes.

    Args:
        path: The file.
        samples: At least one.
        title: First line.
        facts: Second line, smaller.
    """
    block = len(_TITLES) * (_TILE + _SPACE)
    width = 2 * MARGIN + _COLUMNS * block + (_COLUMNS - 1) * _GAP - _SPACE
    lines = -(-len(samples) // _COLUMNS)
    canvas = Image.new("RGB", (width, _HEADER + 18 + lines * (_TILE + _SPACE) + MARGIN), "white")
    draw = ImageDraw.Draw(canvas)
    draw.text((MARGIN, MARGIN), title, INK, font(LARGE, bold=True))
    draw.text((MARGIN, MARGIN + 24), facts, FAINT_INK, font(SMALL))
    for column in range(min(_COLUMNS, len(samples))):
        for number, name in enumerate(_TITLES):
            left = MARGIN + column * (block + _GAP) + number * (_TILE + _SPACE)
            draw.text((left, _HEADER + 12), name, FAINT_INK, font(SMALL), anchor="ls")
    for place, sample in enumerate(samples):
        line, column = divmod(place, _COLUMNS)
        for number, tile in enumerate(_tiles(sample)):
            left = MARGIN + column * (block + _GAP) + number * (_TILE + _SPACE)
            top = _HEADER + 18 + line * (_TILE + _SPACE)
            paste_tile(canvas, tile, left, top, _TILE)
    write_tiles(path, canvas)


def _tiles(sample: MaskSample) -> list[Image.Image]:
    image = scaled(sample.image, _TILE)
    size = image.size
    pixels = np.asarray(image, dtype=np.float64)  # (h, w, 3)
    grey = np.asarray(image.convert("L"), dtype=np.float64)[..., None]  # (h, w, 1)
    soft = Image.fromarray(sample.soft).resize(size, Image.Resampling.BILINEAR)
    heat = colormaps["viridis"](np.clip(np.asarray(soft), 0, 1))[..., :3] * 255  # (h, w, 3)
    mask = _resized(sample.mask, size)
    faded = 255 - (255 - grey) * 0.2
    return [
        image,
        _picture(0.35 * grey + 0.65 * heat),
        Image.fromarray(mask).convert("RGB"),
        _picture(np.where(mask[..., None], pixels, faded)),
        _truth(sample, image),
    ]


def _truth(sample: MaskSample, image: Image.Image) -> Image.Image:
    outlined = image.copy()
    if sample.objects is not None:
        inside = _resized(sample.objects, image.size)
        inner = ndimage.binary_erosion(inside, np.ones((3, 3)), iterations=2)
        pixels = np.asarray(image).copy()
        pixels[inside & ~inner] = _OUTLINE
        outlined = Image.fromarray(pixels)
    elif sample.boxes is not None:
        draw = ImageDraw.Draw(outlined)
        factors = np.array([image.width / sample.mask.shape[1], image.height / sample.mask.shape[0]] * 2)
        for x0, y0, x1, y1 in sample.boxes * factors:
            draw.rectangle((x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)), outline=_OUTLINE, width=2)
    else:
        outlined.paste((240, 240, 240), (0, 0, *image.size))
    return outlined


def _resized(mask: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    return np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))


def _picture(values: NDArray[np.float64]) -> Image.Image:
    return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))
