"""The page of a SegIns run: one HTML file with tables, curves and pictures."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline_lib.experiments.measures import METHODS
from pipeline_lib.reports.drawing.origins import package_versions, stage_settings
from pipeline_lib.reports.drawing.panels import Panel
from pipeline_lib.reports.drawing.rendering import render_page
from pipeline_lib.reports.segins.tables import TITLES, Table, percent, signed_points


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
        network: Network of this run and the length of its pretraining.
        targets: Data sets transferred to.
        tables: Tables of the thesis with this run's rows.
        gains: What SegIns gains over its baseline: by method, shares by measure.
        masks: Metrics of the pseudo-masks by method.
        collapsed: Checkpoints whose embeddings collapsed.
        panels: Curves.
        mask_pictures: Grids of pseudo-masks.
        transfer_pictures: Detections and segmentations.
        origins: ``made_by`` of the artifacts by what they are called.
    """

    data: str
    network: str
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
    "foreground_share": "foreground",
}
_CONTROLS = {"control_centre": "control: centred ellipse", "control_whole": "control: whole image"}
_TILES = ("top1", "ap", "coco_ap", "fine_tuned_miou")


def mask_rows(masks: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, list[str]]]:
    """Scores of the pseudo-masks of each method, and of the controls on the same images, in percent.

    Args:
        masks: Metrics of the masks stage by method.

    Returns:
        Title and cells for each row, in the order of the headings.
    """
    rows = []
    for method, values in masks.items():
        # Without truth there are no scores; the share of the foreground is known all the same.
        scores = values.get("pseudo", values)
        rows.append((f"{values['source']}, {METHODS.get(method, method)}", _percentages(scores)))
    for control, title in _CONTROLS.items():
        scores = next((values[control] for values in masks.values() if control in values), None)
        if scores is not None:
            rows.append((title, _percentages(scores)))
    return rows


def _percentages(scores: Mapping[str, Any]) -> list[str]:
    return [percent(scores.get(key)) for key in _SCORES]


def tiles(gains: Mapping[str, Mapping[str, float]]) -> list[tuple[str, str]]:
    """The headline: what SegIns gains in the main measure of each evaluation, in points.

    Args:
        gains: By method, shares by measure.
    """
    return [
        (f"{TITLES[measure]}, {METHODS.get(method, method)}", signed_points(found[measure]))
        for method, found in gains.items()
        for measure in _TILES
        if measure in found
    ]


def segins_page(facts: SegInsFacts) -> str:
    """Render the page.

    Args:
        facts: What it shows.

    Returns:
        The HTML document.
    """
    values = {
        "facts": facts,
        "tiles": tiles(facts.gains),
        "oracle_masks": any(values["source"] == "oracle" for values in facts.masks.values()),
        "score_titles": list(_SCORES.values()),
        "mask_rows": mask_rows(facts.masks),
        "settings": dict(zip(facts.origins, stage_settings(facts.origins), strict=True)),
        "packages": package_versions(facts.origins),
    }
    return render_page("segins.html", "segins.js", values)
