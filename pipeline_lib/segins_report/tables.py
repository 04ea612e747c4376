"""The tables of thesis chapter 4 with this run's rows above the printed ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline_lib.segins_report.measures import MEASURES, METHODS
from pipeline_lib.segins_report.published import Figure, rows_of

TITLES = {name: measure.title for name, measure in MEASURES.items()}
"""Headings of the measures."""

_DIGITS = 1


@dataclass(frozen=True)
class TableRow:
    """A row: title, a text for each measure, and whether the thesis prints it."""

    title: str
    cells: tuple[str, ...]
    published: bool


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        name: Number in the thesis.
        title: What it shows.
        measures: Headings.
        rows: This run's rows, then the printed ones.
    """

    name: str
    title: str
    measures: tuple[str, ...]
    rows: tuple[TableRow, ...]

    @property
    def ours(self) -> bool:
        """Whether this run has a row in it."""
        return any(not row.published for row in self.rows)


_TABLES: tuple[tuple[str, str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("4.1", "Linear evaluation", ("top1", "top5", "knn_acc"), ()),
    ("4.2", "Pretraining data", ("top1", "ap50", "ap", "ap75", "coco_ap", "mask_ap"), ("none",)),
    ("4.3", "Object detection (thesis: PASCAL VOC)", ("ap50", "ap", "ap75"), ()),
    (
        "4.4",
        "Detection and instance segmentation on COCO",
        ("coco_ap50", "coco_ap", "coco_ap75", "mask_ap50", "mask_ap", "mask_ap75"),
        (),
    ),
    ("4.5", "Linear semantic segmentation (thesis: PASCAL VOC)", ("frozen_miou", "fine_tuned_miou"), ()),
    (
        "4.6",
        "λ: image-level against dense representations",
        ("top1", "top5", "ap50", "ap", "ap75", "frozen_miou", "fine_tuned_miou"),
        ("moco-segins",),
    ),
    ("4.7", "Loss of the segmentation branch", ("ap50", "ap", "ap75"), ("simsiam-segins",)),
    ("4.8", "Pseudo-masks", ("ap50", "ap", "ap75"), ("simsiam-baseline", "simsiam-segins")),
)


def start_title(start: str) -> str:
    """What a start is called in tables: ``moco-segins`` is SegIns (MoCo-V2)."""
    method, _, kind = start.partition("-")
    if method in METHODS and kind == "baseline":
        return METHODS[method]
    if method in METHODS and kind == "segins":
        return f"SegIns ({METHODS[method]})"
    return start


def percent(value: float | None, sd: float | None = None) -> str:
    """A share in percent with one digit, with its deviation; a dash where there is none."""
    if value is None:
        return "–"
    text = f"{100 * value:.{_DIGITS}f}"
    return text if sd is None else f"{text} ± {100 * sd:.{_DIGITS}f}"


def thesis_tables(
    figures: Mapping[str, Mapping[str, Any]], published: Sequence[Figure], settings: Mapping[str, str]
) -> list[Table]:
    """All tables.

    Args:
        figures: This run's metrics, shares, by start.
        published: What the thesis prints.
        settings: What this run's SegIns row is called in Tables 4.6 to 4.8, by table, for example ``lambda 2``.

    Returns:
        Tables 4.1 to 4.8.
    """
    tables = []
    for name, title, measures, starts in _TABLES:
        rows = [
            TableRow(_titled(start, settings.get(name)), _cells(values, measures), False)
            for start, values in figures.items()
            if (not starts or start in starts) and any(values.get(measure) is not None for measure in measures)
        ]
        rows += [
            TableRow(row.title, tuple(row.values.get(measure, "–") for measure in measures), True)
            for row in rows_of(published, name)
        ]
        tables.append(Table(name, title, tuple(TITLES[measure] for measure in measures), tuple(rows)))
    return tables


def _titled(start: str, setting: str | None) -> str:
    title = start_title(start)
    return f"{title}, {setting}" if setting and start.endswith("-segins") else title


def _cells(values: Mapping[str, Any], measures: Iterable[str]) -> tuple[str, ...]:
    return tuple(percent(values.get(measure)) for measure in measures)
