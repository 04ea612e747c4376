"""From the figures of single runs to means, deviations and gains over the seeds, with the thesis' figures beside."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pipeline_lib.experiments.segins_definitions import Row, Table
from pipeline_lib.experiments.segins_measures import MEASURES, applies
from pipeline_lib.experiments.segins_published import Figure, PublishedRow, rows_of

_TOO_SMALL = 1e-9


@dataclass
class RowResult:
    """Figures of one row.

    Attributes:
        row: The row.
        runs: By seed, values by measure; seeds that have not run are absent.
        reason: Why the row was not run; empty where it was.
        collapsed: Seeds whose pretraining collapsed.
    """

    row: Row
    runs: dict[int, dict[str, float]] = field(default_factory=dict)
    reason: str = ""
    collapsed: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Summary:
    """One measure over the seeds.

    Attributes:
        values: Values in the order of the seeds; shares in percent.
    """

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean over the seeds."""
        return statistics.fmean(self.values)

    @property
    def sd(self) -> float | None:
        """Sample standard deviation (divided by the number less one); ``None`` for a single seed."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None

    @property
    def above_zero(self) -> int:
        """Seeds with a value above zero."""
        return sum(value > _TOO_SMALL for value in self.values)


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Attributes:
        measure: The measure.
        value: Ours; ``None`` where there is none.
        gain: Its difference to the row that it is compared with, of the seeds that both have, paired by seed.
        published: What the thesis prints.
        published_gain: Difference of what the thesis prints for the two rows.
    """

    measure: str
    value: Summary | None
    gain: Summary | None
    published: str | None
    published_gain: float | None


@dataclass(frozen=True)
class Line:
    """A row of a table with its cells, and the thesis' row beside it, where there is one."""

    result: RowResult
    published: PublishedRow | None
    cells: tuple[Cell, ...]


def lines(
    table: Table, results: Sequence[RowResult], figures: Sequence[Figure], multi_crop: bool, detection_metric: str
) -> list[Line]:
    """The rows of a table.

    Args:
        table: What it shows.
        results: All rows of the set.
        figures: What the thesis prints.
        multi_crop: Whether these runs are pretrained with local crops.
        detection_metric: ``detection.metric`` of these runs.

    Returns:
        Rows in which at least one of the measures was found, with the measures that some row has; none where no row
        has any.
    """
    measures = [
        measure
        for measure in table.measures
        if applies(measure, detection_metric) and any(_summary(result, measure) for result in results)
    ]
    printed = {result.row.name: _published(table, result.row, figures, multi_crop) for result in results}
    by_name = {result.row.name: result for result in results}
    found = []
    for result in results:
        name, base = result.row.name, result.row.against
        cells = tuple(
            Cell(
                measure=measure,
                value=_summary(result, measure),
                gain=None if base not in by_name or not table.compared else _gain(result, by_name[base], measure),
                published=_printed(printed[name], measure),
                published_gain=_difference(printed[name], printed.get(base or ""), measure),
            )
            for measure in measures
        )
        if any(cell.value for cell in cells):
            found.append(Line(result, printed[name], cells))
    return found


def _summary(result: RowResult, measure: str) -> Summary | None:
    factor = _factor(measure)
    values = [factor * run[measure] for _, run in sorted(result.runs.items()) if measure in run]
    return Summary(tuple(values)) if values else None


def _gain(result: RowResult, base: RowResult, measure: str) -> Summary | None:
    factor = _factor(measure)
    differences = [
        factor * (run[measure] - base.runs[seed][measure])
        for seed, run in sorted(result.runs.items())
        if measure in run and measure in base.runs.get(seed, {})
    ]
    return Summary(tuple(differences)) if differences else None


def _factor(measure: str) -> float:
    return 100.0 if MEASURES[measure].share else 1.0


def _published(table: Table, row: Row, figures: Sequence[Figure], multi_crop: bool) -> PublishedRow | None:
    """The thesis' row: that with as many crops as ours where it has one, else the other one."""
    if table.published is None:
        return None
    rows = [
        printed
        for printed in rows_of(figures, table.published)
        if (printed.method, printed.setting) == (row.published, row.setting)
    ]
    wanted = "yes" if multi_crop else "no"
    return next((printed for printed in rows if printed.multi_crop == wanted), rows[0] if rows else None)


def _printed(row: PublishedRow | None, measure: str) -> str | None:
    return None if row is None else row.values.get(measure)


def _difference(row: PublishedRow | None, base: PublishedRow | None, measure: str) -> float | None:
    ours, theirs = _printed(row, measure), _printed(base, measure)
    # Rows with different numbers of crops say nothing of what the setting changes.
    if row is None or base is None or ours is None or theirs is None or row.multi_crop != base.multi_crop:
        return None
    return float(ours) - float(theirs)


def remarks(results: Sequence[RowResult], seeds: int, gaps: Mapping[str, str]) -> list[str]:
    """What a reader has to know of the runs themselves.

    Args:
        results: All rows.
        seeds: Number of seeds.
        gaps: Rows that are left out, with the reason.

    Returns:
        One sentence each.
    """
    said = [f"Left out: {name} ({reason})." for name, reason in gaps.items()]
    for result in results:
        if result.reason:
            said.append(f"Not run: {result.row.name}: {result.reason}.")
        elif len(result.runs) < seeds:
            said.append(f"Not complete: {result.row.name} has {len(result.runs)} of {seeds} seeds.")
        if result.collapsed:
            said.append(f"Collapsed: {result.row.name}, seed {', '.join(map(str, result.collapsed))}.")
    return said
