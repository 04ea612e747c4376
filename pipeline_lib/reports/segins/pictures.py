"""Tiles of detections and segmentations, and how they are put side by side (thesis Figure 4.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from pipeline_lib.reports.drawing.palettes import class_colour
from pipeline_lib.reports.drawing.panels import INK
from pipeline_lib.reports.drawing.tiles import (
    FAINT_INK,
    LABEL,
    LARGE,
    MARGIN,
    SMALL,
    font,
    paste_tile,
    scaled,
    write_tiles,
)

SHOWN = 8
"""Images in a picture."""

TILE = 132
"""Side of a tile, pixels."""

_SPACE = 6
_GAP = 24
_HEADER = 52
_NARROWEST = 500


@dataclass(frozen=True)
class Instances:
    """Objects to draw on an image.

    Attributes:
        boxes: float (n, 4) in pixels of the image.
        labels: Class of each, (n,).
        texts: What is written at each, (n,).
        masks: Pixels of each, bool (H, W) of the image's size, (n,); ``None``: boxes alone.
    """

    boxes: NDArray[np.float32]
    labels: Sequence[int]
    texts: Sequence[str]
    masks: Sequence[NDArray[np.bool_]] | None = None


def instances_tile(image: Image.Image, shown: Instances, side: int = TILE) -> Image.Image:
    """The image with its longer side at ``side`` pixels and objects on it, in the colours of their classes."""
    tile = scaled(image, side)
    for mask, label in zip(shown.masks or (), shown.labels if shown.masks else (), strict=True):
        tile = _masked(tile, mask, class_colour(label))
    draw = ImageDraw.Draw(tile)
    factor = tile.width / image.width
    for box, text, label in zip(shown.boxes * factor, shown.texts, shown.labels, strict=True):
        x0, y0, x1, y1 = (float(value) for value in box)
        draw.rectangle((x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)), outline=class_colour(label), width=2)
        draw.text((x0 + 3, y0 + 1), text, "white", font(LABEL), stroke_width=2, stroke_fill="black")
    return tile


def _masked(tile: Image.Image, mask: NDArray[np.bool_], colour: tuple[int, int, int]) -> Image.Image:
    """The tile with a mask half transparent on it, and its edge whole."""
    inside = np.asarray(Image.fromarray(mask).resize(tile.size, Image.Resampling.NEAREST))
    edge = inside & ~ndimage.binary_erosion(inside, np.ones((3, 3)))
    pixels = np.array(tile.convert("RGB"), dtype=np.float64)  # (h, w, 3)
    pixels[inside] = 0.5 * pixels[inside] + 0.5 * np.asarray(colour)
    pixels[edge] = colour
    return Image.fromarray(np.rint(pixels).astype(np.uint8))


def classes_tile(image: Image.Image, classes: NDArray[np.uint8]) -> Image.Image:
    """The image at the size of a tile, its objects in the colours of their classes (0 background, 255 not counted)."""
    size = scaled(image, TILE).size
    grey = np.asarray(image.convert("L").resize(size), dtype=np.float64)[..., None].repeat(3, axis=2)  # (h, w, 3)
    labels = np.asarray(Image.fromarray(classes).resize(size, Image.Resampling.NEAREST))
    pixels = 0.6 * grey + 90
    for label in np.unique(labels).tolist():
        if label not in (0, 255):
            inside = labels == label
            pixels[inside] = 0.35 * grey[inside] + 0.65 * np.asarray(class_colour(label - 1))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def write_comparison(
    path: Path, title: str, blocks: Sequence[Mapping[str, Sequence[Image.Image]]], side: int = TILE
) -> None:
    """Write tiles in columns as a PNG file; equal inputs make equal bytes.

    Args:
        path: The file.
        title: First line.
        blocks: Beside each other with a gap, the tiles of each column by its heading, from top to bottom.
        side: Side of a tile, pixels.
    """
    lines = max(len(tiles) for columns in blocks for tiles in columns.values())
    step = side + _SPACE
    width = sum(len(columns) * step - _SPACE for columns in blocks) + (len(blocks) - 1) * _GAP
    height = _HEADER + 18 + lines * step + MARGIN
    canvas = Image.new("RGB", (max(2 * MARGIN + width, _NARROWEST), height), "white")
    draw = ImageDraw.Draw(canvas)
    draw.text((MARGIN, MARGIN), title, INK, font(LARGE, bold=True))
    left = MARGIN
    for columns in blocks:
        for heading, tiles in columns.items():
            draw.text((left, _HEADER + 12), heading, FAINT_INK, font(SMALL), anchor="ls")
            for line, tile in enumerate(tiles):
                paste_tile(canvas, tile, left, _HEADER + 18 + line * step, side)
            left += step
        left += _GAP - _SPACE
    write_tiles(path, canvas)
