"""The neighbour lists: how long they are and, with labels, how often neighbours share a class (thesis Figure 6.3)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import StrMethodFormatter
from numpy.typing import NDArray

from pipeline_lib.reports.drawing.curves import whole_numbers
from pipeline_lib.reports.drawing.panels import ACCENT, EDGE, FAINT, Panel

_MOST_BINS = 40


def neighbor_panels(
    lengths: NDArray[np.integer], threshold: float, oracle_accuracy: Mapping[str, Sequence[Any]] | None
) -> list[Panel]:
    """Panels of the lists.

    Args:
        lengths: Length of each list, (n,), at least 1.
        threshold: Cosine similarity from which an image is a neighbour.
        oracle_accuracy: Lists ``from`` (lower edges of similarity), ``oracle_accuracy`` of the pairs in each bin and
            ``oracle_accuracy_above`` of all from there up, None where there is no pair; None without labels.
    """
    median = int(np.median(lengths))
    words = f"Lengths of {len(lengths)} neighbour lists, {lengths.min()} to {lengths.max()}, median {median}."
    panels = [Panel("lengths", lambda axes: _draw_list_lengths(axes, lengths), words)]
    if oracle_accuracy is None:
        return panels
    edges, above = oracle_accuracy["from"], oracle_accuracy["oracle_accuracy_above"]
    shares = [f"{value:.2f} from {edge:.1f}" for edge, value in zip(edges, above, strict=True) if value is not None]
    words = "Share of neighbours with the same class at or above a similarity: " + ", ".join(shares) + "."
    return [Panel("nn-accuracy", lambda axes: _draw_accuracy(axes, oracle_accuracy, threshold), words), *panels]


def _draw_accuracy(axes: Axes, accuracy: Mapping[str, Sequence[Any]], threshold: float) -> None:
    edges = list(accuracy["from"])
    above = [math.nan if value is None else value for value in accuracy["oracle_accuracy_above"]]
    inside = [math.nan if value is None else value for value in accuracy["oracle_accuracy"]]
    width = edges[1] - edges[0]
    axes.bar(edges, inside, width=width * 0.9, align="edge", color=FAINT, label="this tenth only")
    axes.plot(edges, above, color=ACCENT, marker="o", markersize=4, label="from here up")
    axes.axvline(threshold, color=EDGE, linestyle="--", linewidth=1)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, columnspacing=1.2, borderpad=0.2)
    axes.set_title("Neighbours of the same class", pad=24)
    axes.set(xlabel=f"cosine similarity (dashed: threshold {threshold:g})", ylabel="share", xlim=(0, 1), ylim=(0, 1.04))


def _draw_list_lengths(axes: Axes, lengths: NDArray[np.integer]) -> None:
    counts, edges = np.histogram(lengths, bins=bin_edges(int(lengths.min()), int(lengths.max())))
    axes.stairs(counts, edges, fill=True, color=ACCENT)
    axes.set(title="Length of the neighbour lists", xlabel="neighbours of an image", ylabel="images", xlim=(0, None))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(whole_numbers())
        axis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))


def bin_edges(shortest: int, longest: int) -> NDArray[np.float64]:
    """Edges halfway between whole numbers; every bin has as many of them, and there are at most ``_MOST_BINS`` bins."""
    span = longest - shortest + 1
    width = math.ceil(span / _MOST_BINS)
    return shortest - 0.5 + width * np.arange(math.ceil(span / width) + 1, dtype=np.float64)
