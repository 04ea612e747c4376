"""The scores of the candidates as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import ScalarFormatter

from pipeline_lib.reports.drawing.panels import ACCENT, ORACLE, Panel, write_panels

_WIDTH, _HEIGHT = 9.0, 3.6  # inches
_TICKS = (2, 3, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)


def write_class_count_picture(
    path: Path,
    classes: int,
    candidates: Sequence[int],
    scores: Sequence[float],
    spread: Sequence[float],
    oracle_classes: int | None,
) -> None:
    """Draw score against number of classes into a PNG file; equal inputs make equal bytes.

    Args:
        path: The file.
        classes: The number that was taken.
        candidates: Numbers that were compared; with none the picture says that the number was given.
        scores: Score of each candidate.
        spread: Standard deviation of each score.
        oracle_classes: True number from labels, drawn beside the choice, or None.
    """

    def draw(axes: Axes) -> None:
        if candidates:
            _draw_scores(axes, classes, candidates, scores, spread, oracle_classes)
        else:
            _say_given(axes, classes, oracle_classes)

    write_panels(path, [Panel("classes", draw, f"{classes} classes", _WIDTH, _HEIGHT)])


def _draw_scores(
    axes: Axes,
    classes: int,
    candidates: Sequence[int],
    scores: Sequence[float],
    spread: Sequence[float],
    oracle_classes: int | None,
) -> None:
    numbers, values, width = np.asarray(candidates), np.asarray(scores), np.asarray(spread)
    axes.fill_between(numbers, values - width, values + width, color=ACCENT, alpha=0.2, linewidth=0)
    axes.plot(numbers, values, color=ACCENT, marker=".", label="score (band: ± sd over restarts)")
    best = float(values[list(candidates).index(classes)])
    axes.plot([classes], [best], "o", color=ACCENT, markersize=10, fillstyle="none", label=f"chosen: {classes}")
    if oracle_classes is not None:
        axes.axvline(oracle_classes, color=ORACLE, linestyle="--", label=f"true number by labels: {oracle_classes}")
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
    axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes)
    axes.set_axis_off()
