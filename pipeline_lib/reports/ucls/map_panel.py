"""The picture of the feature map, each cluster in its colour and with its number."""

from __future__ import annotations

import colorsys

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from numpy.typing import NDArray

from pipeline_lib.reports.drawing.panels import INK, PAPER, Panel
from pipeline_lib.reports.drawing.svg import GROUP_PREFIX
from pipeline_lib.reports.ucls.feature_map import FeatureMap

MOST_NUMBERED = 30
"""More clusters than that are not numbered: the numbers would cover the points."""

_GOLDEN = 0.618033988749895
_COLOURS = (
    "#2f7fc1",
    "#e07b1f",
    "#3d9a50",
    "#cf4446",
    "#8b66c2",
    "#9a6b52",
    "#d65fae",
    "#7d8894",
    "#a89a1d",
    "#22a3b4",
)


def cluster_colours(count: int) -> list[str]:
    """A colour for each cluster, readable on white and on near-black; hues a golden section apart above ten."""
    if count <= len(_COLOURS):
        return list(_COLOURS[:count])
    colours = []
    for cluster in range(count):
        red, green, blue = colorsys.hls_to_rgb(cluster * _GOLDEN % 1, 0.46 + 0.1 * (cluster % 2), 0.62)
        colours.append(f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}")
    return colours


def map_panel(flat: FeatureMap, clusters: NDArray[np.integer], count: int) -> Panel:
    """The map, coloured by cluster.

    Args:
        flat: Where the images lie.
        clusters: Cluster of every image of the split, (n,).
        count: Number of clusters K.
    """
    shown = clusters[flat.rows]
    alt = f"Map of the features of {len(flat.rows)} images ({flat.method}), coloured by {count} clusters."
    return Panel("map", lambda axes: _draw(axes, flat.places, shown, count), alt, width=4.2, height=4.0)


def _draw(axes: Axes, places: NDArray[np.float64], clusters: NDArray[np.integer], count: int) -> None:
    halo = [patheffects.withStroke(linewidth=2.5, foreground=PAPER)]
    for cluster, colour in enumerate(cluster_colours(count)):
        x, y = places[clusters == cluster].T
        if not len(x):
            continue
        axes.plot(x, y, "o", color=colour, markersize=2.6, markeredgewidth=0, gid=f"{GROUP_PREFIX}{cluster}")
        if count <= MOST_NUMBERED:
            axes.text(
                np.median(x),
                np.median(y),
                str(cluster),
                color=INK,
                ha="center",
                va="center",
                fontsize=10.5,
                fontweight="bold",
                path_effects=halo,
                zorder=3,
            )
    axes.set(xticks=[], yticks=[], title="Features, coloured by cluster")
    axes.set_aspect("equal", adjustable="datalim")
    axes.spines[:].set_visible(False)
