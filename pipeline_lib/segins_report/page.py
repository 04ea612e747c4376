"""The page of a SegIns run: one HTML file with tables, curves and pictures."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline_lib.report.drawing import Panel
from pipeline_lib.report.origins import package_versions, stage_settings
from pipeline_lib.report.rendering import render_page
from pipeline_lib.segins_report.tables import Table, percent


@dataclass(frozen=True)
class Picture:
    """A PNG file in the page, with what it shows in words."""

    path: Path
    title: str

    @property
    def source(self) -> str:
        """The file as a data URL."""
        return "data:image/png;base64," + base64.b64encode(self.path.read_bytes()).decode()


@dataclass(frozen=True)
class SegInsFacts:
    """What the page shows.

    Attributes:
        data: Data set of the pretraining.
        targets: Data sets transferred to.
        tables: Tables of the thesis with this run's rows.
        gains: What SegIns gains over its baseline, shares by measure, by method.
        masks: Metrics of the pseudo-masks by method.
        collapsed: Checkpoints whose embeddings collapsed.
        panels: Curves.
        mask_pictures: Grids of pseudo-masks.
        transfer_pictures: Detections and segmentations.
        origins: ``made_by`` of the artifacts by name.
    """

    data: str
    targets: tuple[str, ...]
    tables: tuple[Table, ...]
    gains: Mapping[str, Mapping[str, float]]
    masks: Mapping[str, Mapping[str, Any]]
    collapsed: tuple[str, ...]
    panels: Sequence[Panel]
    mask_pictures: Sequence[Picture]
    transfer_pictures: Sequence[Picture]
    origins: Mapping[str, Mapping[str, Any]]


_SCORES = {
    "iou_with_masks": "IoU with true masks",
    "iou_with_boxes": "IoU with true boxes",
    "corloc": "CorLoc",
    "foreground_share": "foreground share",
}


def mask_rows(masks: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, list[str]]]:
    """Scores of the pseudo-masks of each method, and of the controls, in percent.

    Args:
        masks: Metrics of the masks stage by method.

    Returns:
        Title and cells for each row, in the order of the headings.
    """
    rows = []
    for method, values in masks.items():
        rows.append(
            (f"{values.get('source', 'pseudo-masks')}, {method}", [percent(values.get(key)) for key in _SCORES])
        )
    for control, title in (("centre", "control: centred ellipse"), ("whole", "control: whole image")):
        values = next(iter(masks.values()), {})
        cells = [percent(values.get(f"{control}_{key}")) for key in _SCORES]
        if any(cell != "–" for cell in cells):
            rows.append((title, cells))
    return rows


def segins_page(facts: SegInsFacts) -> str:
    """Render the page.

    Args:
        facts: What it shows.

    Returns:
        The HTML document.
    """
    signed = {
        method: [(name, f"{100 * value:+.1f}") for name, value in gains.items()]
        for method, gains in facts.gains.items()
    }
    values = {
        "facts": facts,
        "gains": signed,
        "score_titles": list(_SCORES.values()),
        "mask_rows": mask_rows(facts.masks),
        "settings": stage_settings(facts.origins),
        "packages": package_versions(facts.origins),
    }
    return render_page("segins.html", "segins.js", values)
