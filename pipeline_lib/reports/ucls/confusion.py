"""The confusion matrix of true classes and clusters, each cluster beside the class it is matched with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from numpy.typing import NDArray

from pipeline_lib.base.contingency import contingency, matched_pairs
from pipeline_lib.reports.drawing.curves import whole_numbers
from pipeline_lib.reports.drawing.panels import ACCENT, INK, PAPER, SMALL_TEXT, TINY_TEXT, Panel

MOST_WRITTEN = 30
"""More classes or clusters than that are drawn without numbers and names."""


@dataclass(frozen=True)
class Confusion:
    """Counts of true classes and clusters.

    Attributes:
        classes: Class of each row, (C,).
        clusters: Cluster of each column, (K,): first those matched with the rows, in their order, then the others.
        matched: Columns at the beginning that have a class; column j < ``matched`` belongs to row j.
        counts: Images, (C, K) int64.
    """

    classes: NDArray[np.int64]
    clusters: NDArray[np.int64]
    matched: int
    counts: NDArray[np.int64]

    @property
    def shares(self) -> NDArray[np.float64]:
        """Share of each class in each cluster, (C, K) in [0, 1]; zeros for a class without images."""
        shares: NDArray[np.float64] = self.counts / np.maximum(self.counts.sum(axis=1, keepdims=True), 1)
        return shares

    def class_of(self) -> dict[int, int]:
        """Class that each matched cluster stands for."""
        return {int(self.clusters[place]): int(self.classes[place]) for place in range(self.matched)}

    def largest_errors(self, limit: int) -> list[tuple[int, int, int]]:
        """Class, cluster and number of images of the largest counts off the matching; ties go by place."""
        wrong = self.counts.copy()
        wrong[range(self.matched), range(self.matched)] = 0
        order = np.argsort(-wrong, axis=None, kind="stable")[:limit]
        rows, columns = np.unravel_index(order, wrong.shape)
        return [
            (int(self.classes[row]), int(self.clusters[column]), int(wrong[row, column]))
            for row, column in zip(rows, columns, strict=True)
            if wrong[row, column] > 0
        ]


def oracle_confusion(
    oracle_labels: NDArray[np.integer], clusters: NDArray[np.integer], classes: int, count: int
) -> Confusion:
    """Count classes against clusters and put matched ones on the diagonal (Hungarian method, thesis 6.3).

    Args:
        oracle_labels: True classes, (n,), below 0 where unknown: such images do not count.
        clusters: Cluster of each image, (n,).
        classes: Number of true classes C; labels are below.
        count: Number of clusters K.
    """
    known = oracle_labels >= 0
    table = contingency(oracle_labels[known], clusters[known], classes, count)
    rows, columns = matched_pairs(table)
    row_order = np.concatenate([rows, np.setdiff1d(np.arange(classes), rows)])
    column_order = np.concatenate([columns, np.setdiff1d(np.arange(count), columns)])
    counts = table[np.ix_(row_order, column_order)]
    return Confusion(row_order.astype(np.int64), column_order.astype(np.int64), len(rows), counts)


def confusion_panel(confusion: Confusion, class_names: Sequence[str]) -> Panel:
    """The matrix as a picture, each row divided by its class' images.

    Args:
        confusion: The counts.
        class_names: Name of each class, by its number.
    """
    hits = int(np.trace(confusion.counts[: confusion.matched, : confusion.matched]))
    total = int(confusion.counts.sum())
    alt = f"Confusion matrix of {len(confusion.classes)} classes: {hits} of {total} images lie on its diagonal."
    side = 3.2 + min(3.0, 0.12 * len(confusion.classes))
    return Panel("confusion", lambda axes: _draw(axes, confusion, class_names), alt, width=side + 1, height=side)


def _draw(axes: Axes, confusion: Confusion, class_names: Sequence[str]) -> None:
    colours = LinearSegmentedColormap.from_list("paper to accent", [PAPER, ACCENT])
    shares = confusion.shares
    axes.imshow(shares, cmap=colours, vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    axes.set(title="Classes and clusters", xlabel="cluster", ylabel="true class")
    if max(shares.shape) > MOST_WRITTEN:
        axes.set(xlabel="clusters, in the order of their classes", ylabel="true classes")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(whole_numbers())
        return
    names = [class_names[number] for number in confusion.classes]
    shortened = [name if len(name) <= 14 else f"{name[:13]}…" for name in names]
    axes.set_yticks(range(len(names)), shortened, parse_math=False)
    axes.set_xticks(range(len(confusion.clusters)), [str(number) for number in confusion.clusters])
    axes.tick_params(length=0)
    size = SMALL_TEXT if len(names) <= 12 else TINY_TEXT
    for (row, column), count in np.ndenumerate(confusion.counts):
        if count:
            colour = PAPER if shares[row, column] > 0.65 else INK
            axes.text(column, row, f"{count}", ha="center", va="center", color=colour, fontsize=size)
