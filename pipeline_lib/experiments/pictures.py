"""Pictures beside the tables of an experiment set: cluster use (Fig. 6.2), neighbours (Fig. 6.3), thresholds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from pipeline_lib.experiments.measures import Group
from pipeline_lib.experiments.results import RowResult, RunResults, Summary, summarised
from pipeline_lib.experiments.rows import PictureKind
from pipeline_lib.reports.drawing.panels import FAINT, SERIES, Panel, write_panels

_WIDTH, _HEIGHT = 9.0, 3.4
_SPLITS = ("train", "val")
_SCORES = ("best_head", "overall", "ensemble", "self_trained")
_STEPS = ("best_head", "ensemble", "self_trained")


def write_picture(path: Path, kind: PictureKind, results: Sequence[RunResults], groups: Mapping[str, Group]) -> bool:
    """Draw one picture into a PNG file; equal inputs make equal bytes.

    Args:
        path: The file.
        kind: ``cluster_use``: sizes of the best head's clusters, largest first, of each row's first seed;
            ``threshold``: accuracy, length of the lists and their accuracy by threshold; ``neighbor_accuracy``: that
            alone, a line a data set; ``steps``: accuracy from row to row. Pictures of artifacts are drawn elsewhere
            (:mod:`commands.runs.artifact_pictures`).
        results: One run, or several for ``neighbor_accuracy``.
        groups: The groups of measures by name.

    Returns:
        Whether there was anything to draw.
    """
    panels: dict[PictureKind, Callable[[], list[Panel]]] = {
        "cluster_use": lambda: _cluster_use(results[0].rows),
        "threshold": lambda: _threshold(results[0].rows, groups),
        "neighbor_accuracy": lambda: _neighbor_accuracy(results, groups["list_accuracy"]),
        "steps": lambda: _steps(results[0].rows, groups),
    }
    drawn = panels[kind]()
    if drawn:
        write_panels(path, drawn)
    return bool(drawn)


def _panel(draw: Callable[[Axes], None], alt: str, share: int = 1) -> Panel:
    return Panel("experiments", draw, alt, width=_WIDTH / share, height=_HEIGHT)


def _cluster_use(rows: Sequence[RowResult]) -> list[Panel]:
    def sizes_on(split: str) -> dict[str, list[int]]:
        first = {result.row.name: result.runs[min(result.runs)] for result in rows if result.runs}
        key = f"cluster_use.{split}_sizes"
        return {name: sorted(run[key], reverse=True) for name, run in first.items() if run.get(key)}

    def drawn(split: str, by_row: Mapping[str, list[int]]) -> Callable[[Axes], None]:
        def draw(axes: Axes) -> None:
            for color, (name, sizes) in zip(SERIES, by_row.items(), strict=False):
                axes.stairs(sizes, np.arange(len(sizes) + 1), color=color, linewidth=1.3, label=name)
            last = list(by_row.values())[-1]
            axes.axhline(sum(last) / len(last), color=FAINT, linestyle="--", linewidth=1, label="uniform")
            axes.set(
                title=f"Cluster sizes on {split}", xlabel="cluster, largest first", ylabel="images", ylim=(0, None)
            )
            axes.legend(loc="upper right")

        return draw

    found = {split: by_row for split in _SPLITS if (by_row := sizes_on(split))}
    return [_panel(drawn(split, by_row), f"Cluster sizes on {split}", len(found)) for split, by_row in found.items()]


Points = tuple[list[float], list[Summary]]


def _by_threshold(rows: Sequence[RowResult], group: Group, measure: str) -> Points:
    """Thresholds and summaries of the rows that have both, by growing threshold."""
    found = []
    for result in rows:
        summary = summarised(result, group, measure)
        threshold = result.settings.get("knn.threshold")
        if summary is not None and isinstance(threshold, int | float):
            found.append((float(threshold), summary))
    found.sort(key=lambda point: point[0])
    return [threshold for threshold, _ in found], [summary for _, summary in found]


def _line(axes: Axes, points: Points, color: str, label: str) -> None:
    thresholds, summaries = points
    if not thresholds:
        return
    means = np.array([summary.mean for summary in summaries])
    axes.plot(thresholds, means, color=color, marker="o", markersize=3, label=label)
    spreads = [summary.heads_sd if summary.heads_sd is not None else summary.sd for summary in summaries]
    if all(spread is not None for spread in spreads):
        width = np.array(spreads, dtype=np.float64)
        axes.fill_between(thresholds, means - width, means + width, color=color, alpha=0.15, linewidth=0)


def _threshold(rows: Sequence[RowResult], groups: Mapping[str, Group]) -> list[Panel]:
    scores = {groups[name].title: _by_threshold(rows, groups[name], "acc") for name in _SCORES}
    right = _by_threshold(rows, groups["neighbors"], "nn_acc")
    lengths = _by_threshold(rows, groups["neighbors"], "nn_count")

    def accuracy(axes: Axes) -> None:
        for color, (title, points) in zip(SERIES, scores.items(), strict=False):
            _line(axes, points, color, title)
        axes.set(title="ACC by threshold (bands: ± sd)", xlabel="similarity threshold", ylabel="ACC (%)")
        _legend(axes)

    def neighbors(axes: Axes) -> None:
        _line(axes, right, SERIES[0], "right neighbours above the threshold (%)")
        axes.set(title="Neighbours by threshold", xlabel="similarity threshold", ylabel="NN ACC (%)")
        beside = axes.twinx()
        _line(beside, lengths, SERIES[1], "neighbours an image")
        beside.set(ylabel="neighbours an image", ylim=(0, None))
        beside.spines["right"].set_visible(True)
        handles, labels = axes.get_legend_handles_labels()
        more, other = beside.get_legend_handles_labels()
        if handles:
            axes.legend(handles + more, labels + other, loc="center right")

    if not any(thresholds for thresholds, _ in (*scores.values(), right, lengths)):
        return []
    return [_panel(accuracy, "ACC by threshold", 2), _panel(neighbors, "Neighbours by threshold", 2)]


def _neighbor_accuracy(results: Sequence[RunResults], group: Group) -> list[Panel]:
    lines = {run.run: _by_threshold(run.rows, group, "nn_acc") for run in results}

    def draw(axes: Axes) -> None:
        for number, (run, points) in enumerate(lines.items()):
            _line(axes, points, SERIES[number % len(SERIES)], run)
        axes.set(title="Right neighbours at or above the threshold", xlabel="similarity threshold", ylabel="NN ACC (%)")
        _legend(axes)

    return [_panel(draw, "Right neighbours by threshold")] if any(points[0] for points in lines.values()) else []


def _steps(rows: Sequence[RowResult], groups: Mapping[str, Group]) -> list[Panel]:
    ran = [result for result in rows if result.runs]
    lines = {
        groups[name].title: [
            (at, found) for at, row in enumerate(ran) if (found := summarised(row, groups[name], "acc"))
        ]
        for name in _STEPS
    }

    def draw(axes: Axes) -> None:
        for color, (title, points) in zip(SERIES, lines.items(), strict=False):
            if not points:
                continue
            places, means = [at for at, _ in points], [summary.mean for _, summary in points]
            errors = [summary.sd or 0.0 for _, summary in points]
            axes.errorbar(places, means, yerr=errors, color=color, marker="o", markersize=4, capsize=2)
            axes.plot([], [], color=color, marker="o", markersize=4, label=title)
        axes.set(title="ACC from row to row", ylabel="ACC (%)")
        # Names of rows are long; slanted, their neighbours do not cover them.
        axes.set_xticks(range(len(ran)), [row.row.name for row in ran], rotation=15, ha="right")
        _legend(axes)

    return [_panel(draw, "ACC from row to row")] if any(lines.values()) else []


def _legend(axes: Axes) -> None:
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="best")
