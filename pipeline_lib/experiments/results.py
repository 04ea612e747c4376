"""From the figures of single runs to what a table shows: means, deviations, effects, and the thesis' figures beside."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline_lib.experiments.definitions import Definitions, Group, Row, Table
from pipeline_lib.experiments.published import Figure, Published

PERCENT = ("nmi", "acc", "balanced_acc", "ari", "nn_acc")
"""Measures that are shares and shown in percent, as in the thesis."""

_THESIS_DATASET = "ImageNet-100"


@dataclass(frozen=True)
class RowResult:
    """Figures of one row.

    Attributes:
        row: The row.
        settings: Its settings.
        runs: Figures by ``FILE.KEY`` of each seed; empty where the row was not run.
        reason: Why it was not run; empty where it was.
    """

    row: Row
    settings: Mapping[str, Any]
    runs: Sequence[Mapping[str, Any]]
    reason: str = ""


@dataclass(frozen=True)
class RunResults:
    """All rows of a set on one data set with one backbone."""

    data: str
    backbone: str
    rows: Sequence[RowResult]

    @property
    def run(self) -> str:
        """Name of the run."""
        return f"{self.data}-{self.backbone}"


@dataclass(frozen=True)
class Summary:
    """One measure over the seeds; shares in percent.

    Attributes:
        mean: Mean over the seeds.
        sd: Sample standard deviation over the seeds (divided by their number less one); ``None`` for a single seed.
        heads_sd: Mean over the seeds of the deviation over the heads, where that is shown.
        seeds: Number of seeds.
    """

    mean: float
    sd: float | None
    heads_sd: float | None
    seeds: int


@dataclass(frozen=True)
class Entry:
    """One cell of a table.

    Attributes:
        run: Data set and backbone.
        row: Name of the row.
        group: Title of the group.
        variant: Its name among the published figures.
        measure: The measure.
        summary: Our figure; ``None`` where there is none.
        effect: Difference of the means that the table shows, in percentage points.
        published: The thesis' figure.
        reason: Why the row was not run.
    """

    run: str
    row: str
    group: str
    variant: str
    measure: str
    summary: Summary | None
    effect: float | None
    published: Figure | None
    reason: str


def summarised(result: RowResult, group: Group, measure: str) -> Summary | None:
    """Mean and deviation of one measure over the seeds of a row.

    Args:
        result: The row.
        group: Group with the measure.
        measure: The measure.

    Returns:
        The summary; ``None`` where a run has no such figure.
    """
    factor = 100.0 if measure in PERCENT else 1.0
    runs = _chosen_runs(result, group)
    values = [_value(run, group.metrics(measure, result.settings)) for run in runs]
    known = [factor * value for value in values if value is not None]
    if not known or len(known) < len(values):
        return None
    spreads = [_value(run, (group.spread[measure],)) for run in runs] if measure in group.spread else []
    over_heads = [factor * value for value in spreads if value is not None]
    return Summary(
        mean=statistics.fmean(known),
        sd=statistics.stdev(known) if len(known) > 1 else None,
        heads_sd=statistics.fmean(over_heads) if over_heads else None,
        seeds=len(known),
    )


def _chosen_runs(result: RowResult, group: Group) -> Sequence[Mapping[str, Any]]:
    if group.run == "mean" or len(result.runs) < 2:
        return result.runs
    accuracy = group.metrics("acc", result.settings)
    return [max(result.runs, key=lambda run: -math.inf if (value := _value(run, accuracy)) is None else value)]


def _value(run: Mapping[str, Any], keys: Sequence[str]) -> float | None:
    found = next((run[key] for key in keys if run.get(key) is not None), None)
    return None if found is None else float(found)


@dataclass(frozen=True)
class Lookup:
    """Finds the thesis' figure for a cell of ours."""

    published: Published
    definitions: Definitions

    def dataset(self, tables: Sequence[str], data: str) -> tuple[str, str]:
        """Table and data set of the thesis: ours where it has it, else ImageNet-100; empty where it has neither."""
        own = self.definitions.datasets.get(data)
        for wanted in (own, _THESIS_DATASET):
            for table in tables:
                if wanted in self.published.datasets(table):
                    return table, str(wanted)
        return "", ""

    def figure(self, table: Table, row: Row, group: Group, measure: str, results: RunResults) -> Figure | None:
        """The figure, or ``None`` where the thesis has none."""
        number, dataset = self.dataset(table.published, results.data)
        if not number or row.published is None:
            return None
        own = self.definitions.backbones.get(results.backbone, "")
        order = (own, *self.definitions.preferred_backbones)
        return self.published.find(number, dataset, row.published, group.variant, measure, order)


def entries(table: Table, results: RunResults, lookup: Lookup) -> list[Entry]:
    """All cells of a table, row by row.

    Args:
        table: What it shows.
        results: Our runs.
        lookup: The published figures.

    Returns:
        The cells.
    """
    groups = lookup.definitions.groups
    cells: list[Entry] = []
    before: RowResult | None = None
    for result in results.rows:
        shown = [groups[result.row.shows]] if result.row.shows else [groups[name] for name in table.groups]
        for group in shown:
            for measure in group.measures:
                summary = summarised(result, group, measure)
                base = None
                if table.effect == "row_before" and before is not None:
                    base = summarised(before, group, measure)
                elif table.effect == "first_group" and group is not shown[0]:
                    base = summarised(result, shown[0], measure)
                cells.append(
                    Entry(
                        run=results.run,
                        row=result.row.name,
                        group=group.title,
                        variant=group.variant,
                        measure=measure,
                        summary=summary,
                        effect=summary.mean - base.mean if summary and base else None,
                        published=lookup.figure(table, result.row, group, measure, results),
                        reason=result.reason,
                    )
                )
        before = result if result.runs else before
    return cells
