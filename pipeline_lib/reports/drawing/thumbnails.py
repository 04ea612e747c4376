"""Thumbnails as data URIs, at several qualities, so that a page can be kept below its limit."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from PIL import Image, ImageOps


@dataclass(frozen=True)
class Quality:
    """How thumbnails are encoded: side in pixels at most, and WebP's quality, 0 to 100."""

    side: int
    quality: int


QUALITIES = (Quality(128, 82), Quality(96, 75), Quality(80, 65), Quality(64, 55), Quality(48, 45), Quality(48, 20))
"""From the best to the smallest."""

_SAMPLE = 50
"""Thumbnails from which the size of all is estimated, about."""

_PIXEL_ART = 16
"""Images up to this side are kept as they are: lossy coding would smear their few pixels."""


def middle_square(image: Image.Image, side: int) -> Image.Image:
    """The middle square of an image in RGB, reduced to ``side`` pixels where it is larger, never enlarged."""
    side = min(side, *image.size)
    return ImageOps.fit(image.convert("RGB"), (side, side), method=Image.Resampling.LANCZOS)


def data_uri(square: Image.Image, quality: Quality) -> str:
    """A square thumbnail as WebP in a data URI; equal pixels make equal text.

    Args:
        square: As ``middle_square`` gives it.
        quality: Its side and quality.
    """
    stream = io.BytesIO()
    reduced = middle_square(square, quality.side)
    reduced.save(stream, "WEBP", quality=quality.quality, lossless=max(reduced.size) <= _PIXEL_ART, method=4)
    return "data:image/webp;base64," + base64.b64encode(stream.getvalue()).decode()


class Thumbnails:
    """Thumbnails of some images of a split, read once.

    Attributes:
        pixel_art: Whether all are so small that their pixels are to be shown as squares.

    Args:
        rows: Rows of the split.
        read: Gives the decoded image of a row.
    """

    def __init__(self, rows: Iterable[int], read: Callable[[int], Image.Image]) -> None:
        # In row order, so that each row group of a data set is read once.
        self._squares = {row: middle_square(read(row), QUALITIES[0].side) for row in sorted(set(rows))}
        self.pixel_art = all(max(square.size) <= _PIXEL_ART for square in self._squares.values())

    def estimated_bytes(self, quality: Quality) -> int:
        """About how many bytes ``encoded`` gives, from an evenly spaced sample."""
        squares = list(self._squares.values())
        sample = squares[:: max(1, len(squares) // _SAMPLE)]
        return sum(len(data_uri(square, quality)) for square in sample) * len(squares) // max(1, len(sample))

    def encoded(self, quality: Quality) -> dict[int, str]:
        """Data URI of every thumbnail, by its row."""
        return {row: data_uri(square, quality) for row, square in self._squares.items()}
