"""Detections and segmentations of the same images side by side (thesis Figure 4.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from pipeline_lib.artifacts.folder import write_atomically
from pipeline_lib.reports.drawing.gallery import LARGEST_FILE, encoded_below, font

SHOWN = 8
"""Images in a picture."""

DRAWN = 3
"""Detections that are drawn of an image, the surest ones."""

_TILE = 132
_SPACE = 6
_MARGIN = 16
_HEADER = 52
_INK = "#222222"


@dataclass(frozen=True)
class Boxes:
    """Boxes to draw: float (n, 4) in pixels of the image, and the text of each."""

    boxes: NDArray[np.float32]
    texts: tuple[str, ...]


def colour_of(label: int) -> tuple[int, int, int]:
    """A colour for each class, the same in all pictures."""
    red, green, blue, _ = colormaps["tab20"](label % 20)
    return int(red * 255), int(green * 255), int(blue * 255)


def boxes_tile(image: Image.Image, shown: Boxes, labels: Sequence[int]) -> Image.Image:
    """The image at the size of a tile with boxes on it."""
    tile = _scaled(image)
    draw = ImageDraw.Draw(tile)
    factor = tile.width / image.width
    for box, text, label in zip(shown.boxes * factor, shown.texts, labels, strict=True):
        x0, y0, x1, y1 = (float(value) for value in box)
        draw.rectangle((x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)), outline=colour_of(label), width=2)
        draw.text((x0 + 3, y0 + 1), text, "white", font(11), stroke_width=2, stroke_fill="black")
    return tile


def classes_tile(image: Image.Image, classes: NDArray[np.uint8]) -> Image.Image:
    """The image at the size of a tile, its objects in the colours of their classes (0 background, 255 not counted)."""
    size = _scaled(image).size
    grey = np.asarray(image.convert("L").resize(size), dtype=np.float64)[..., None].repeat(3, axis=2)  # (h, w, 3)
    labels = np.asarray(Image.fromarray(classes).resize(size, Image.Resampling.NEAREST))
    pixels = 0.6 * grey + 90
    for label in np.unique(labels).tolist():
        if label not in (0, 255):
            inside = labels == label
            pixels[inside] = 0.35 * grey[inside] + 0.65 * np.asarray(colour_of(label - 1))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _scaled(image: Image.Image) -> Image.Image:
    scale = _TILE / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS)


def write_comparison(path: Path, title: str, columns: Mapping[str, Sequence[Image.Image]]) -> None:
    """Write tiles in columns as a PNG file; equal inputs make equal bytes.

    Args:
        path: The file.
        title: First line.
        columns: Tiles of each column by its heading, from top to bottom.
    """
    lines = max(len(tiles) for tiles in columns.values())
    width = 2 * _MARGIN + len(columns) * (_TILE + _SPACE) - _SPACE
    canvas = Image.new("RGB", (max(width, 420), _HEADER + 18 + lines * (_TILE + _SPACE) + _MARGIN), "white")
    draw = ImageDraw.Draw(canvas)
    draw.text((_MARGIN, _MARGIN), title, _INK, font(15, bold=True))
    for number, (heading, tiles) in enumerate(columns.items()):
        left = _MARGIN + number * (_TILE + _SPACE)
        draw.text((left, _HEADER + 12), heading, _INK, font(11), anchor="ls")
        for line, tile in enumerate(tiles):
            top = _HEADER + 18 + line * (_TILE + _SPACE)
            canvas.paste(tile, (left + (_TILE - tile.width) // 2, top + (_TILE - tile.height) // 2))
    write_atomically(path, encoded_below(canvas, LARGEST_FILE))
