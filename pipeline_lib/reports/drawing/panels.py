"""Panels: one small picture each, drawn once and written both as PNG for ``dvc plots`` and as SVG for the page."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline_lib.artifacts.folder import write_atomically

ACCENT = "#1f5fa8"
FAINT = "#b5b5b5"
INK = "#222222"
MUTED = "#585858"
EDGE = "#8a8a8a"
PAPER = "#ffffff"
ORACLE = "#b3541e"
"""What true labels say, beside what is found without them."""
THEME = {ACCENT: "accent", FAINT: "faint", INK: "ink", MUTED: "muted", EDGE: "edge", PAPER: "paper"}
"""Colours that follow the reader's light or dark theme in the page, with the names of their CSS variables."""

SERIES = (ACCENT, "#c2571a", "#2f7d4f", "#7a4fa3", "#8a6d1f", "#5a5a5a")
"""Colours of lines that are told from each other by a legend."""

PANEL_WIDTH = 4.2
PANEL_HEIGHT = 3.0
"""Size of a panel in inches where it does not say otherwise."""

SMALL_TEXT = 8
"""Points of a long legend and of numbers in cells; other text has the style's 10."""

TINY_TEXT = 5
"""Points of numbers in many cells."""

MARK_TEXT = 10.5
"""Points of bold numbers on points."""

DPI = 100
"""Pixels an inch of PNG files."""

_STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": EDGE,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "legend.frameon": False,
    "legend.handlelength": 1.3,
    "lines.linewidth": 1.3,
    "svg.fonttype": "none",
    "svg.hashsalt": "report",
}


@dataclass(frozen=True)
class Panel:
    """A picture with one pair of axes.

    Attributes:
        name: Short name, unique within a page: letters, digits and hyphens.
        draw: Draws it.
        alt: What it shows, in words, for readers who do not see it.
        width: Inches.
        height: Inches.
    """

    name: str
    draw: Callable[[Axes], None]
    alt: str
    width: float = PANEL_WIDTH
    height: float = PANEL_HEIGHT


def panels_png(panels: Sequence[Panel]) -> bytes:
    """Draw panels side by side as a PNG file's bytes, equal for equal inputs.

    Args:
        panels: At least one; the picture is as high as the highest.
    """
    widths = [panel.width for panel in panels]
    # A style of its own: what a user's matplotlibrc says changes no byte.
    with style.context(["default", _STYLE]):
        size = (sum(widths), max(panel.height for panel in panels))
        figure = Figure(figsize=size, dpi=DPI, layout="constrained")
        grid = figure.subplots(1, len(panels), width_ratios=widths, squeeze=False)
        for axes, panel in zip(grid[0], panels, strict=True):
            panel.draw(axes)
        return _saved(figure, "png", {"Software": None})


def write_panels(path: Path, panels: Sequence[Panel]) -> None:
    """Write what ``panels_png`` gives into a file, atomically."""
    write_atomically(path, panels_png(panels))


def drawn_svg(panel: Panel) -> str:
    """The panel as an SVG document of matplotlib's, with a transparent ground; equal inputs make equal text."""
    with style.context(["default", _STYLE]):
        figure = Figure(figsize=(panel.width, panel.height), layout="constrained")
        panel.draw(figure.subplots())
        metadata = {"Creator": None, "Date": None, "Format": None, "Type": None}
        return _saved(figure, "svg", metadata, transparent=True).decode()


def _saved(figure: Figure, kind: str, metadata: dict[str, Any], transparent: bool = False) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format=kind, metadata=metadata, transparent=transparent)
    return stream.getvalue()


def write_message(path: Path, message: str) -> None:
    """Write a PNG file that says in words why there is no picture."""

    def draw(axes: Axes) -> None:
        axes.set_axis_off()
        axes.text(0.5, 0.5, message, ha="center", va="center", transform=axes.transAxes)

    write_panels(path, [Panel("message", draw, message, height=1.2)])
