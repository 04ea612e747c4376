"""Pictures beside the tables of an experiment set: cluster use (Fig. 6.2), neighbours (Fig. 6.3), thresholds."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline_lib.artifacts.folder import write_atomically
from pipeline_lib.experiments.definitions import FigureKind, Group
from pipeline_lib.experiments.results import RowResult, RunResults, Summary, summarised

WIDTH = 900
"""Width of a picture in pixels."""

_HEIGHT = 320
_DPI = 100
_COLORS = ("#1f5fa8", "#c2571a", "#2f7d4f", "#7a4fa3", "#8a6d1f", "#5a5a5a")
_FAINT = "#b5b5b5"
_STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#666666",
    "legend.frameon": False,
    "legend.handlelength": 1.3,
    "lines.linewidth": 1.3,
}
_SPLITS = ("train", "val")


def write_figure(path: Path, kind: FigureKind, results: Sequence[RunResults], groups: dict[str, Group]) -> bool:
    """Draw one picture into a PNG file of ``WIDTH`` pixels; equal inputs make equal bytes.

    Args:
        path: The file.
        kind: ``cluster_use``: sizes of the best head's clusters, largest first, of each row's first seed;
            ``threshold``: accuracy, length of the lists and their accuracy by threshold; ``neighbor_accuracy``: that
            alone, a line a data set; ``steps``: accuracy from row to row.
        results: One run, or several for ``neighbor_accuracy``.
        groups: The groups of measures by name.

    Returns:
        Whether there was anything to draw.
    """
    draw: dict[str, tuple[int, Callable[[Sequence[Axes]], None]]] = {
        "cluster_use": (2, lambda axes: _cluster_use(axes, results[0])),
        "threshold": (2, lambda axes: _threshold(axes, results[0], groups)),
        "neighbor_accuracy": (1, lambda axes: _neighbor_accuracy(axes[0], results, groups["list_accuracy"])),
        "steps": (1, lambda axes: _steps(axes[0], results[0], groups)),
    }
    panels, function = draw[kind]
    # A style of its own: what a user's matplotlibrc says changes no byte.
    with style.context(["default", _STYLE]):
        figure = Figure(figsize=(WIDTH / _DPI, _HEIGHT / _DPI), dpi=_DPI, layout="constrained")
        axes = [figure.add_subplot(1, panels, number + 1) for number in range(panels)]
        function(axes)
        if not any(panel.has_data() for panel in axes):
            return False
        stream = io.BytesIO()
        figure.savefig(stream, format="png", metadata={"Software": None})
    write_atomically(path, stream.getvalue())
    return True


def _cluster_use(axes: Sequence[Axes], results: RunResults) -> None:
    for panel, split in zip(axes, _SPLITS, strict=True):
        level = 0.0
        for color, result in zip(_COLORS, results.rows, strict=False):
            sizes = result.runs[0].get(f"cluster_use.{split}_sizes") if result.runs else None
            if sizes:
                edges = np.arange(len(sizes) + 1)
                panel.stairs(sorted(sizes, reverse=True), edges, color=color, linewidth=1.3, label=result.row.name)
                level = sum(sizes) / len(sizes)
        panel.axhline(level, color=_FAINT, linestyle="--", linewidth=1, label="uniform")
        panel.set(title=f"Cluster sizes on {split}", xlabel="cluster, largest first", ylabel="images", ylim=(0, None))
        panel.legend(loc="upper right")


def _points(rows: Sequence[RowResult], group: Group, measure: str) -> tuple[list[float], list[Summary]]:
    """Thresholds and figures of the rows that have both, by growing threshold."""
    found = []
    for result in rows:
        summary = summarised(result, group, measure)
        threshold = result.settings.get("knn.threshold")
        if summary is not None and isinstance(threshold, int | float):
            found.append((float(threshold), summary))
    found.sort(key=lambda point: point[0])
    return [threshold for threshold, _ in found], [summary for _, summary in found]


def _line(axes: Axes, rows: Sequence[RowResult], group: Group, measure: str, color: str, label: str) -> None:
    thresholds, summaries = _points(rows, group, measure)
    if not thresholds:
        return
    means = np.array([summary.mean for summary in summaries])
    axes.plot(thresholds, means, color=color, marker="o", markersize=3, label=label)
    spreads = [summary.heads_sd if summary.heads_sd is not None else summary.sd for summary in summaries]
    if all(spread is not None for spread in spreads):
        width = np.array(spreads, dtype=np.float64)
        axes.fill_between(thresholds, means - width, means + width, color=color, alpha=0.15, linewidth=0)


def _legend(axes: Axes) -> None:
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="best")


def _threshold(axes: Sequence[Axes], results: RunResults, groups: dict[str, Group]) -> None:
    accuracy, neighbors = axes
    for color, name in zip(_COLORS, ("best_head", "overall", "ensemble", "self_trained"), strict=False):
        _line(accuracy, results.rows, groups[name], "acc", color, groups[name].title)
    accuracy.set(title="ACC by threshold (bands: ± sd)", xlabel="similarity threshold", ylabel="ACC (%)")
    _legend(accuracy)
    _line(
        neighbors, results.rows, groups["neighbors"], "nn_acc", _COLORS[0], "right neighbours above the threshold (%)"
    )
    neighbors.set(title="Neighbours by threshold", xlabel="similarity threshold", ylabel="NN ACC (%)")
    lengths = neighbors.twinx()
    _line(lengths, results.rows, groups["neighbors"], "nn_count", _COLORS[1], "neighbours an image")
    lengths.set(ylabel="neighbours an image", ylim=(0, None))
    lengths.spines["right"].set_visible(True)
    handles, labels = neighbors.get_legend_handles_labels()
    more, other = lengths.get_legend_handles_labels()
    if handles:
        neighbors.legend(handles + more, labels + other, loc="center right")


def _neighbor_accuracy(axes: Axes, results: Sequence[RunResults], group: Group) -> None:
    for number, run in enumerate(results):
        _line(axes, run.rows, group, "nn_acc", _COLORS[number % len(_COLORS)], run.run)
    axes.set(title="Right neighbours at or above the threshold", xlabel="similarity threshold", ylabel="NN ACC (%)")
    _legend(axes)


def _steps(axes: Axes, results: RunResults, groups: dict[str, Group]) -> None:
    rows = [result for result in results.rows if result.runs]
    shown = ("best_head", "ensemble", "self_trained")
    for color, name in zip(_COLORS, shown, strict=False):
        summaries = [summarised(result, groups[name], "acc") for result in rows]
        points = [(at, summary) for at, summary in enumerate(summaries) if summary is not None]
        if points:
            errors = [summary.sd or 0.0 for _, summary in points]
            places, means = [at for at, _ in points], [summary.mean for _, summary in points]
            axes.errorbar(places, means, yerr=errors, color=color, marker="o", markersize=4, capsize=2)
            axes.plot([], [], color=color, marker="o", markersize=4, label=groups[name].title)
    axes.set(title="ACC from row to row", ylabel="ACC (%)")
    axes.set_xticks(range(len(rows)), [result.row.name for result in rows])
    _legend(axes)
