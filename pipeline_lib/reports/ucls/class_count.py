"""The scores of the candidates as a picture."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

from pipeline_lib.artifacts.folder import write_atomically

WIDTH = 900
"""Width of the picture in pixels."""

_HEIGHT = 360
_DPI = 100
_ACCENT = "#1f5fa8"
_ORACLE = "#b3541e"
_STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
}
_TICKS = (2, 3, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)


def write_class_count_picture(
    path: Path,
    classes: int,
    candidates: Sequence[int],
    scores: Sequence[float],
    spread: Sequence[float],
    oracle_classes: int | None,
) -> None:
    """Draw score against number of classes into a PNG file of ``WIDTH`` pixels; equal inputs make equal bytes.

    Args:
        path: The file.
        classes: The number that was taken.
        candidates: Numbers that were compared; with none the picture says that the number was given.
        scores: Score of each candidate.
        spread: Standard deviation of each score.
        oracle_classes: True number from labels, drawn beside the choice, or None.
    """
    # A style of its own: what a user's matplotlibrc says changes no byte.
    with style.context(["default", _STYLE]):
        figure = Figure(figsize=(WIDTH / _DPI, _HEIGHT / _DPI), dpi=_DPI, layout="constrained")
        axes = figure.subplots()
        if candidates:
            _draw_scores(axes, classes, candidates, scores, spread, oracle_classes)
        else:
            _say_given(axes, classes, oracle_classes)
        stream = io.BytesIO()
        figure.savefig(stream, format="png", metadata={"Software": None})
    write_atomically(path, stream.getvalue())


def _draw_scores(
    axes: Axes,
    classes: int,
    candidates: Sequence[int],
    scores: Sequence[float],
    spread: Sequence[float],
    oracle_classes: int | None,
) -> None:
    numbers, values, width = np.asarray(candidates), np.asarray(scores), np.asarray(spread)
    axes.fill_between(numbers, values - width, values + width, color=_ACCENT, alpha=0.2, linewidth=0)
    axes.plot(numbers, values, color=_ACCENT, marker=".", label="score (band: ± sd over restarts)")
    best = float(values[list(candidates).index(classes)])
    axes.plot([classes], [best], "o", color=_ACCENT, markersize=10, fillstyle="none", label=f"chosen: {classes}")
    if oracle_classes is not None:
        axes.axvline(oracle_classes, color=_ORACLE, linestyle="--", label=f"true number by labels: {oracle_classes}")
    axes.set_xscale("log")
    ticks = [tick for tick in _TICKS if numbers[0] <= tick <= numbers[-1]] or [int(numbers[0])]
    axes.set_xticks(ticks)
    axes.set_xticks([], minor=True)
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.set(title="Number of classes, compared without labels", xlabel="number of classes", ylabel="score")
    axes.legend(loc="best")


def _say_given(axes: Axes, classes: int, oracle_classes: int | None) -> None:
    text = f"{classes} classes: given in params.yaml, not compared with others."
    if oracle_classes is not None:
        text += f"\nThe labels have {oracle_classes}."
    axes.text(0.5, 0.5, text, ha="center", va="center", fontsize=12, transform=axes.transAxes)
    axes.set_axis_off()
