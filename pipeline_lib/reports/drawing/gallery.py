"""A picture of the clusters: for each a row of its most and least confident images. No true labels are looked at."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageOps

from pipeline_lib.reports.drawing.panels import INK
from pipeline_lib.reports.drawing.tiles import FAINT_INK, LARGE, MARGIN, MIDDLE, SMALL, font, write_tiles

MOST_CONFIDENT = 10
LEAST_CONFIDENT = 2
MOST_ROWS = 20
SIDE = 48
"""Side of a thumbnail in pixels."""
WIDTH = 900
"""Width of the picture in pixels."""

_SPACE = 4
_GAP = 34
_HEADER = 66
_LEAST_LEFT = WIDTH - MARGIN - LEAST_CONFIDENT * (SIDE + _SPACE) + _SPACE
_MOST_LEFT = _LEAST_LEFT - _GAP - MOST_CONFIDENT * (SIDE + _SPACE) + _SPACE


@dataclass(frozen=True)
class ClusterRow:
    """A cluster and the images that stand for it.

    Attributes:
        cluster: Its number.
        count: Images in it.
        mean_probability: Mean over its images of the probability of being in it; None where it is empty.
        most_confident: Rows of the images with the highest probability, the highest first.
        least_confident: Rows of the images with the lowest probability, the lowest last; none is in ``most_confident``.
    """

    cluster: int
    count: int
    mean_probability: float | None
    most_confident: tuple[int, ...]
    least_confident: tuple[int, ...]


def cluster_rows(
    clusters: NDArray[np.integer], probability: NDArray[np.floating], classes: int, limit: int = MOST_ROWS
) -> list[ClusterRow]:
    """Choose the clusters to show, the largest first, and their images; ties go by number.

    Args:
        clusters: Cluster of each image, (n,), 0 to ``classes`` − 1.
        probability: Its probability, (n,), in [0, 1].
        classes: Number of clusters, empty ones included.
        limit: How many clusters to show at most.

    Returns:
        At most ``limit`` rows.
    """
    counts = np.bincount(clusters, minlength=classes)  # (classes,)
    largest = np.argsort(-counts, kind="stable")[:limit]
    return [_row_of(int(cluster), np.flatnonzero(clusters == cluster), probability) for cluster in largest]


def _row_of(cluster: int, members: NDArray[np.intp], probability: NDArray[np.floating]) -> ClusterRow:
    values = probability[members].astype(np.float64)
    ordered = members[np.argsort(-values, kind="stable")]
    most, rest = ordered[:MOST_CONFIDENT].tolist(), ordered[MOST_CONFIDENT:]
    mean = float(values.mean()) if len(values) else None
    return ClusterRow(cluster, len(members), mean, tuple(most), tuple(rest[-LEAST_CONFIDENT:].tolist()))


def thumbnail(image: Image.Image) -> Image.Image:
    """The middle square of an image as ``SIDE`` x ``SIDE`` RGB pixels.

    Smaller images are enlarged with nearest pixels, larger ones reduced with a Lanczos filter.
    """
    colours = image.convert("RGB")
    small = min(colours.size) < SIDE
    method = Image.Resampling.NEAREST if small else Image.Resampling.LANCZOS
    return ImageOps.fit(colours, (SIDE, SIDE), method=method)


def write_gallery(
    path: Path, rows: Sequence[ClusterRow], classes: int, name: str, read: Callable[[int], Image.Image]
) -> None:
    """Draw the rows into a PNG file of ``WIDTH`` pixels; equal inputs make equal bytes.

    Args:
        path: The file.
        rows: What to show, at least one cluster.
        classes: Number of all clusters; where there are more than rows, the title says so.
        name: What the images are, for the title.
        read: Gives the decoded image of a row number, in any of Pillow's modes.
    """
    # In row order, so that each row group of a data set is read once.
    shown = sorted({image for row in rows for image in (*row.most_confident, *row.least_confident)})
    thumbnails = {image: thumbnail(read(image)) for image in shown}
    canvas = Image.new("RGB", (WIDTH, _HEADER + len(rows) * (SIDE + _SPACE) + MARGIN - _SPACE), "white")
    _draw_header(ImageDraw.Draw(canvas), len(rows), classes, name)
    for number, row in enumerate(rows):
        _draw_row(canvas, _HEADER + number * (SIDE + _SPACE), row, thumbnails)
    write_tiles(path, canvas)


def _draw_header(draw: ImageDraw.ImageDraw, rows: int, classes: int, name: str) -> None:
    which = f"{classes} clusters" if rows == classes else f"the {rows} largest of {classes} clusters"
    draw.text((MARGIN, MARGIN), f"{name}: {which}", INK, font(LARGE, bold=True))
    draw.text((_MOST_LEFT, _HEADER - 8), "most confident", FAINT_INK, font(SMALL), anchor="ls")
    draw.text((_LEAST_LEFT, _HEADER - 8), "least confident", FAINT_INK, font(SMALL), anchor="ls")


def _draw_row(canvas: Image.Image, top: int, row: ClusterRow, thumbnails: Mapping[int, Image.Image]) -> None:
    draw = ImageDraw.Draw(canvas)
    draw.text((MARGIN, top + 20), f"cluster {row.cluster}", INK, font(MIDDLE, bold=True), anchor="ls")
    draw.text((MARGIN, top + 38), _facts(row), FAINT_INK, font(SMALL), anchor="ls")
    for left, images in ((_MOST_LEFT, row.most_confident), (_LEAST_LEFT, row.least_confident)):
        for column, image in enumerate(images):
            canvas.paste(thumbnails[image], (left + column * (SIDE + _SPACE), top))


def _facts(row: ClusterRow) -> str:
    if row.mean_probability is None:
        return "no images"
    # Rounded down, so that 1.00 is certainty.
    probability = math.floor(row.mean_probability * 100) / 100
    return f"{row.count:,} image{'s' if row.count > 1 else ''}, mean p {probability:.2f}"
