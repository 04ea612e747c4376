"""Detections and segmentations of the same images side by side (thesis Figure 4.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

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

DRAWN = 3
"""Detections that are drawn of an image, the surest ones."""

_TILE = 132
_SPACE = 6
_HEADER = 52


@dataclass(frozen=True)
class Boxes:
    """Boxes to draw: float (n, 4) in pixels of the image, and the text of each."""

    boxes: NDArray[np.float32]
    texts: tuple[str, ...]


def boxes_tile(image: Image.Image, shown: Boxes, labels: Sequence[int]) -> Image.Image:
    """The image at the size of a tile with boxes on it."""
    tile = scaled(image, _TILE)
    draw = ImageDraw.Draw(tile)
    factor = tile.width / image.width
    for box, text, label in zip(shown.boxes * factor, shown.texts, labels, strict=True):
        x0, y0, x1, y1 = (float(value) for value in box)
        draw.rectangle((x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)), outline=class_colour(label), width=2)
        draw.text((x0 + 3, y0 + 1), text, "white", font(LABEL), stroke_width=2, stroke_fill="black")
    return tile


def classes_tile(image: Image.Image, classes: NDArray[np.uint8]) -> Image.Image:
    """The image at the size of a tile, its objects in the colours of their classes (0 background, 255 not counted)."""
    size = scaled(image, _TILE).size
    grey = np.asarray(image.convert("L").resize(size), dtype=np.float64)[..., None].repeat(3, axis=2)  # (h, w, 3)
    labels = np.asarray(Image.fromarray(classes).resize(size, Image.Resampling.NEAREST))
    pixels = 0.6 * grey + 90
    for label in np.unique(labels).tolist():
        if label not in (0, 255):
            inside = labels == label
            pixels[inside] = 0.35 * grey[inside] + 0.65 * np.asarray(class_colour(label - 1))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def write_comparison(path: Path, title: str, columns: Mapping[str, Sequence[Image.Image]]) -> None:
    """Write tiles in columns as a PNG file; equal inputs make equal bytes.

    Args:
        path: The file.
        title: First line.
        columns: Tiles of each column by its heading, from top to bottom.
    """
    lines = max(len(tiles) for tiles in columns.values())
    width = 2 * MARGIN + len(columns) * (_TILE + _SPACE) - _SPACE
    canvas = Image.new("RGB", (max(width, 420), _HEADER + 18 + lines * (_TILE + _SPACE) + MARGIN), "white")
    draw = ImageDraw.Draw(canvas)
    draw.text((MARGIN, MARGIN), title, INK, font(LARGE, bold=True))
    for number, (heading, tiles) in enumerate(columns.items()):
        left = MARGIN + number * (_TILE + _SPACE)
        draw.text((left, _HEADER + 12), heading, FAINT_INK, font(SMALL), anchor="ls")
        for line, tile in enumerate(tiles):
            top = _HEADER + 18 + line * (_TILE + _SPACE)
            paste_tile(canvas, tile, left, top, _TILE)
    write_tiles(path, canvas)
