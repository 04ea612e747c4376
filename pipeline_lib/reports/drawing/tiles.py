"""What pictures made of images share: letters, grey, margins, how an image fills its tile, and how files stay small."""

from __future__ import annotations

import io
from pathlib import Path

import matplotlib
from PIL import Image, ImageFont

from pipeline_lib.artifacts.folder import write_atomically

FAINT_INK = "#666666"
"""Of headings and facts; titles have the panels' ``INK``."""

MARGIN = 16
"""Pixels around the picture."""

LARGE, MIDDLE, SMALL, LABEL = 15, 13, 12, 11
"""Pixels of letters: titles, names, headings and facts, labels on images."""

LARGEST_FILE = 1_000_000
"""Bytes that a picture stays below."""

_FEWEST_LEVELS = 8


def scaled(image: Image.Image, side: int) -> Image.Image:
    """The image with its longer side at ``side`` pixels: enlarged with nearest pixels or reduced by Lanczos."""
    scale = side / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS)


def paste_tile(canvas: Image.Image, tile: Image.Image, left: int, top: int, side: int) -> None:
    """Put a tile into the middle of a square of ``side`` pixels; one that is not square leaves ground beside it."""
    canvas.paste(tile, (left + (side - tile.width) // 2, top + (side - tile.height) // 2))


def write_tiles(path: Path, canvas: Image.Image) -> None:
    """Write a PNG file below ``LARGEST_FILE`` bytes, atomically; equal pixels make equal bytes."""
    write_atomically(path, encoded_below(canvas, LARGEST_FILE))


def font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans of ``size`` pixels."""
    # Matplotlib brings its font along: the same letters on every machine.
    file = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"DejaVuSans{'-Bold' if bold else ''}.ttf"
    return ImageFont.truetype(file, size, layout_engine=ImageFont.Layout.BASIC)


def encoded_below(canvas: Image.Image, limit: int) -> bytes:
    """PNG bytes with as many levels of each colour, 256 to ``_FEWEST_LEVELS``, as stay below ``limit`` bytes."""
    levels = 256
    while True:
        stream = io.BytesIO()
        _with_levels(canvas, levels).save(stream, format="PNG", optimize=True)
        if stream.tell() < limit or levels == _FEWEST_LEVELS:
            return stream.getvalue()
        levels //= 2


def _with_levels(canvas: Image.Image, levels: int) -> Image.Image:
    # Evenly spread from 0 to 255, so that black and white stay what they are.
    nearest = [round(round(value * (levels - 1) / 255) * 255 / (levels - 1)) for value in range(256)]
    return canvas.point(nearest * len(canvas.getbands()))
