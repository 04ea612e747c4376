"""Sizes of the clusters against the uniform one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import StrMethodFormatter
from numpy.typing import NDArray

from pipeline_lib.reports.drawing.curves import whole_numbers
from pipeline_lib.reports.drawing.panels import ACCENT, EDGE, Panel

MOST_BARS = 30
"""More clusters than that are drawn as a curve over their rank."""

_NAME_LETTERS = 18


def size_panel(sizes: NDArray[np.integer], names: Sequence[str]) -> Panel:
    """The sizes, the largest first.

    Args:
        sizes: Images of each cluster, (K,).
        names: What to call each cluster, (K,).
    """
    uniform = float(sizes.sum()) / len(sizes)
    empty = int((sizes == 0).sum())
    alt = (
        f"Sizes of {len(sizes)} clusters, {sizes.min()} to {sizes.max()} images; uniform is {uniform:.1f}; "
        f"{empty} empty."
    )
    if len(sizes) > MOST_BARS:
        return Panel("sizes", lambda axes: _draw_curve(axes, sizes, uniform), alt)
    height = 1.1 + 0.22 * len(sizes)
    return Panel("sizes", lambda axes: _draw_bars(axes, sizes, names, uniform), alt, height=height)


def _draw_bars(axes: Axes, sizes: NDArray[np.integer], names: Sequence[str], uniform: float) -> None:
    order = np.argsort(-sizes, kind="stable")
    places = np.arange(len(sizes))
    axes.barh(places, sizes[order], color=ACCENT, height=0.7)
    for place, size in zip(places, sizes[order], strict=True):
        axes.annotate(
            f"{size:,}", (1, place), (4, 0), xycoords=("axes fraction", "data"), textcoords="offset points", va="center"
        )
    # A name may hold a dollar sign, which matplotlib would take for a formula.
    labels = [_shortened(names[cluster]) for cluster in order]
    axes.set_yticks(places, labels, parse_math=False)
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    axes.axvline(uniform, **_uniform_line(uniform))
    _finish(axes)
    axes.set(xlabel="images")
    axes.xaxis.set_major_locator(whole_numbers())


def _draw_curve(axes: Axes, sizes: NDArray[np.integer], uniform: float) -> None:
    axes.stairs(np.sort(sizes)[::-1], np.arange(len(sizes) + 1) + 0.5, fill=True, color=ACCENT)
    axes.axhline(uniform, **_uniform_line(uniform))
    _finish(axes)
    axes.set(xlabel="clusters, the largest first", ylabel="images", xlim=(0.5, len(sizes) + 0.5))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(whole_numbers())
        axis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))


def _uniform_line(uniform: float) -> dict[str, Any]:
    return {"color": EDGE, "linestyle": "--", "linewidth": 1.2, "label": f"uniform: {uniform:,.4g}"}


def _finish(axes: Axes) -> None:
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), borderpad=0.2)
    axes.set_title("Images of each cluster")


def _shortened(name: str) -> str:
    return name if len(name) <= _NAME_LETTERS else name[: _NAME_LETTERS - 1] + "…"
