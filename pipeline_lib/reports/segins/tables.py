"""The tables of thesis chapter 4 with this run's rows above the printed ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline_lib.experiments.measures import MEASURES, start_title
from pipeline_lib.experiments.published import Published

TITLES = {name: measure.title for name, measure in MEASURES.items()}
"""Headings of the measures."""

_DIGITS = 1


@dataclass(frozen=True)
class TableRow:
    """A row.

    Attributes:
        title: What it is of.
        cells: A text for each measure.
        published: Whether the thesis prints it.
        gain: Whether it is the difference of the two rows above.
        note: Oddities of the published values.
    """

    title: str
    cells: tuple[str, ...]
    published: bool
    gain: bool = False
    note: str = ""


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        name: Number in the thesis; empty for a table that it does not have.
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
    ("4.1", "Linear evaluation", ("top1", "top5", "ridge_acc", "knn_acc"), ()),
    (
        "4.2",
        "Pretraining data",
        ("top1", "ap50", "ap", "ap75", "coco_ap", "mask_ap"),
        ("simsiam-baseline", "moco-baseline"),
    ),
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
        ("moco-baseline", "moco-segins"),
    ),
    ("4.7", "Loss of the segmentation branch", ("ap50", "ap", "ap75"), ("simsiam-segins",)),
    ("4.8", "Pseudo-masks", ("ap50", "ap", "ap75"), ("simsiam-baseline", "simsiam-segins")),
    (
        "",
        "Where objects are, whatever their class",
        ("class_agnostic_ap50", "class_agnostic_ap", "class_agnostic_ap75"),
        (),
    ),
    (
        "",
        "Objects against the background, dense probe",
        ("dense_probe_pixel_ap", "dense_probe_iou", "dense_probe_deep_pixel_ap", "dense_probe_deep_iou"),
        (),
    ),
)


def percent(value: float | None, sd: float | None = None) -> str:
    """A share in percent with one digit, with its deviation; a dash where there is none."""
    if value is None:
        return "–"
    text = f"{100 * value:.{_DIGITS}f}"
    return text if sd is None else f"{text} ± {100 * sd:.{_DIGITS}f}"


def signed_points(difference: float) -> str:
    """A difference of shares in points with its sign, and no sign where it is rounded to nothing."""
    text = f"{100 * difference:+.{_DIGITS}f}"
    return text[1:] if not text.strip("+-0.") else text


def thesis_tables(
    by_start: Mapping[str, Mapping[str, Any]], published: Published, settings: Mapping[str, str]
) -> list[Table]:
    """All tables.

    Args:
        by_start: This run's metrics, shares, by start.
        published: What the thesis prints.
        settings: What this run's SegIns row is called in Tables 4.6 to 4.8, by table, for example ``lambda 2``.

    Returns:
        Tables 4.1 to 4.8, and those of measures that the thesis does not have.
    """
    tables = []
    for name, title, measures, starts in _TABLES:
        rows = [row for start in by_start for row in _own_rows(by_start, start, starts, measures, settings.get(name))]
        rows += [
            TableRow(
                row.title, tuple(row.values.get(measure, "–") for measure in measures), True, note="; ".join(row.notes)
            )
            for row in published.rows(name)
        ]
        tables.append(Table(name, title, tuple(TITLES[measure] for measure in measures), tuple(rows)))
    return tables


def _own_rows(
    by_start: Mapping[str, Mapping[str, Any]],
    start: str,
    starts: Sequence[str],
    measures: Sequence[str],
    setting: str | None,
) -> list[TableRow]:
    """Row of a start, and for SegIns one of what it gains, where the table shows the baseline as well."""
    values = by_start[start]
    if (starts and start not in starts) or all(values.get(measure) is None for measure in measures):
        return []
    rows = [TableRow(_titled(start, setting), _cells(values, measures), False)]
    baseline = start.removesuffix("segins") + "baseline"
    if start.endswith("-segins") and baseline in by_start and (not starts or baseline in starts):
        cells = tuple(_gain(values.get(measure), by_start[baseline].get(measure)) for measure in measures)
        rows.append(TableRow(f"gain over {start_title(baseline)}", cells, False, gain=True))
    return rows


def _gain(after: float | None, before: float | None) -> str:
    return "–" if after is None or before is None else signed_points(after - before)


def _titled(start: str, setting: str | None) -> str:
    title = start_title(start)
    return f"{title}, {setting}" if setting and start.endswith("-segins") else title


def _cells(values: Mapping[str, Any], measures: Iterable[str]) -> tuple[str, ...]:
    return tuple(percent(values.get(measure)) for measure in measures)
