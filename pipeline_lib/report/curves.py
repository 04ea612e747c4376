"""The training of the heads in one picture: losses, class priors, and the neighbour lists it learnt from."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter
from numpy.typing import NDArray

from pipeline_lib.artifacts.folder import write_atomically

WIDTH = 900
"""Width of the picture in pixels."""

_HEIGHT = 300
_DPI = 100
_MOST_BINS = 40
_ACCENT = "#1f5fa8"
_FAINT = "#b5b5b5"
_STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#666666",
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "legend.frameon": False,
    "legend.handlelength": 1.3,
    "lines.linewidth": 1.3,
}


def write_training_curves(
    path: Path, history: Sequence[Mapping[str, Any]], best_head: int, classes: int, lengths: NDArray[np.integer]
) -> None:
    """Draw the training into a PNG file of ``WIDTH`` pixels; equal inputs make equal bytes.

    Args:
        path: The file.
        history: One row an epoch, at least one, with ``epoch``, ``head_loss`` (H values) and ``prior_entropy`` (nats).
        best_head: Number of the head to highlight.
        classes: Number of classes K; ln K is the entropy of a uniform prior.
        lengths: Length of each neighbour list, (n,), at least 1.
    """
    # A style of its own: what a user's matplotlibrc says changes no byte.
    with style.context(["default", _STYLE]):
        figure = Figure(figsize=(WIDTH / _DPI, _HEIGHT / _DPI), dpi=_DPI, layout="constrained")
        losses, priors, lists = figure.subplots(1, 3, width_ratios=(1.35, 1, 1))
        _draw_losses(losses, history, best_head)
        _draw_prior_entropy(priors, history, classes)
        _draw_list_lengths(lists, lengths)
        stream = io.BytesIO()
        figure.savefig(stream, format="png", metadata={"Software": None})
    write_atomically(path, stream.getvalue())


def _draw_losses(axes: Axes, history: Sequence[Mapping[str, Any]], best_head: int) -> None:
    epochs = [row["epoch"] for row in history]
    losses = np.asarray([row["head_loss"] for row in history], dtype=np.float64)  # (E, H)
    others = np.delete(losses, best_head, axis=1)
    marker = _marker(history)
    lines = axes.plot(epochs, others, color=_FAINT, linewidth=0.6, marker=marker)
    if lines:
        lines[0].set_label(f"other {len(lines)} heads" if len(lines) > 1 else "other head")
    axes.plot(epochs, losses[:, best_head], color=_ACCENT, marker=marker, label=f"head {best_head}, the best")
    axes.legend(loc="upper right", reverse=True)
    axes.set(title="Loss of each head", xlabel="epoch", ylabel="loss")
    axes.xaxis.set_major_locator(_whole_numbers())


def _draw_prior_entropy(axes: Axes, history: Sequence[Mapping[str, Any]], classes: int) -> None:
    uniform = math.log(classes)
    axes.axhline(uniform, color=_FAINT, linestyle="--", linewidth=1, label=f"uniform: ln {classes}")
    epochs, entropy = [row["epoch"] for row in history], [row["prior_entropy"] for row in history]
    axes.plot(epochs, entropy, color=_ACCENT, marker=_marker(history), label="mean of the heads")
    axes.legend(loc="lower right", reverse=True)
    # From zero: a tiny dip below ln K is not to look like a collapse.
    axes.set(title="Entropy of the class prior", xlabel="epoch", ylabel="nats", ylim=(0, max(uniform, *entropy) * 1.08))
    axes.xaxis.set_major_locator(_whole_numbers())


def _draw_list_lengths(axes: Axes, lengths: NDArray[np.integer]) -> None:
    counts, edges = np.histogram(lengths, bins=_bin_edges(int(lengths.min()), int(lengths.max())))
    axes.stairs(counts, edges, fill=True, color=_ACCENT)
    axes.set(title="Length of the neighbour lists", xlabel="neighbours of an image", ylabel="images", xlim=(0, None))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(_whole_numbers())
        axis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))


def _bin_edges(shortest: int, longest: int) -> NDArray[np.float64]:
    """Edges halfway between whole numbers; every bin has as many of them, and there are at most ``_MOST_BINS`` bins."""
    span = longest - shortest + 1
    width = math.ceil(span / _MOST_BINS)
    return shortest - 0.5 + width * np.arange(math.ceil(span / width) + 1, dtype=np.float64)


def _whole_numbers() -> MaxNLocator:
    return MaxNLocator(nbins=6, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1)


def _marker(history: Sequence[Mapping[str, Any]]) -> str:
    # One epoch makes no line.
    return "o" if len(history) == 1 else ""
