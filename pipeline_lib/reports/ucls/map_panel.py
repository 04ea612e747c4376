"""The picture of the feature map, each cluster in its colour and with its number."""

from __future__ import annotations

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from numpy.typing import NDArray

from pipeline_lib.reports.drawing.palettes import cluster_colours
from pipeline_lib.reports.drawing.panels import INK, MARK_TEXT, PAPER, Panel
from pipeline_lib.reports.drawing.svg import GROUP_PREFIX
from pipeline_lib.reports.ucls.feature_map import FeatureMap

MOST_NUMBERED = 30
"""More clusters than that are not numbered: the numbers would cover the points."""


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
                fontsize=MARK_TEXT,
                fontweight="bold",
                path_effects=halo,
                zorder=3,
            )
    axes.set(xticks=[], yticks=[], title="Features, coloured by cluster")
    axes.set_aspect("equal", adjustable="datalim")
    axes.spines[:].set_visible(False)
