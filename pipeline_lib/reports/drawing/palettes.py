"""Colours that tell clusters and classes apart."""

from __future__ import annotations

import colorsys

from matplotlib import colormaps

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


def class_colour(label: int) -> tuple[int, int, int]:
    """A colour for each class, the same in all pictures."""
    red, green, blue, _ = colormaps["tab20"](label % 20)
    return int(red * 255), int(green * 255), int(blue * 255)
