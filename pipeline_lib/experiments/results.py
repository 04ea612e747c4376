"""Values of single runs by row and seed, and their means and deviations."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline_lib.experiments.measures import MEASURES, Group
from pipeline_lib.experiments.rows import Row, Table

_TOO_SMALL = 1e-9


@dataclass
class RowResult:
    """Values of one row.

    Attributes:
        row: The row.
        settings: Its settings.
        runs: By seed, values by ``FILE.KEY``; seeds that have not run are absent.
        reason: Why it was not run; empty where it was.
        collapsed: Seeds whose pretraining collapsed.
        places: Where artifacts of the first seed lie, by their paths in ``dvc.yaml``; kept for pictures of them.
    """

    row: Row
    settings: Mapping[str, Any] = field(default_factory=dict)
    runs: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    reason: str = ""
    collapsed: list[int] = field(default_factory=list)
    places: Mapping[Path, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class Pretraining:
    """What the runs of the SegIns chain have in common.

    Attributes:
        architecture: ResNet.
        epochs: Epochs of the pretraining.
        multi_crop: Whether it uses local crops.
        detection_metric: ``detection.metric``.
    """

    architecture: str
    epochs: int
    multi_crop: bool
    detection_metric: str


@dataclass(frozen=True)
class RunResults:
    """All rows on one data set.

    Attributes:
        data: Data set.
        rows: The rows.
        backbone: Backbone; empty in the SegIns chain and where rows are of data sets alone.
        target: Data set transferred to; empty in the UCLS chain.
        pretraining: What is common to the rows of the SegIns chain.
        gaps: Rows that are left out, with the reason.
    """

    data: str
    rows: Sequence[RowResult]
    backbone: str = ""
    target: str = ""
    pretraining: Pretraining | None = None
    gaps: Mapping[str, str] = field(default_factory=dict)

    @property
    def run(self) -> str:
        """Name of the run."""
        return "-".join(filter(None, (self.data, self.backbone)))


@dataclass(frozen=True)
class Part:
    """Tables that show the same rows under the same conditions, with these rows.

    Attributes:
        tables: The tables.
        runs: Results on each data set.
        conditions: What is bound to these tables alone, in words; empty where they have what the whole set has.
    """

    tables: Sequence[Table]
    runs: Sequence[RunResults]
    conditions: str = ""


@dataclass(frozen=True)
class Summary:
    """One measure over the seeds; shares in percent.

    Attributes:
        values: Values in the order of the seeds.
        heads_sd: Mean over the seeds of the deviation over the heads, where that is shown.
    """

    values: tuple[float, ...]
    heads_sd: float | None = None

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


def values_by_seed(result: RowResult, group: Group, measure: str) -> dict[int, float]:
    """Values of one measure, of each seed that counts in the group; shares in percent.

    Args:
        result: The row.
        group: Group with the measure.
        measure: The measure.

    Returns:
        By seed, in its order; nothing where one of the runs has no such value: a mean of some would be another's.
    """
    found = {seed: _value(run, group.metrics(measure, result.settings)) for seed, run in _counting(result, group)}
    factor = MEASURES[measure].factor
    known = {seed: factor * value for seed, value in found.items() if value is not None}
    return known if len(known) == len(found) else {}


def summarised(result: RowResult, group: Group, measure: str) -> Summary | None:
    """One measure over the seeds of a row, or ``None`` where a run has no such value."""
    values = values_by_seed(result, group, measure)
    if not values:
        return None
    runs = _counting(result, group)
    spreads = [_value(run, (group.spread[measure],)) for _, run in runs] if measure in group.spread else []
    over_heads = [MEASURES[measure].factor * value for value in spreads if value is not None]
    return Summary(tuple(values.values()), statistics.fmean(over_heads) if over_heads else None)


def _counting(result: RowResult, group: Group) -> list[tuple[int, Mapping[str, Any]]]:
    """Runs that count in a group, by seed."""
    runs = sorted(result.runs.items())
    if group.run == "mean" or len(runs) < 2:
        return runs
    accuracy = group.metrics("acc", result.settings)
    return [max(runs, key=lambda run: -math.inf if (value := _value(run[1], accuracy)) is None else value)]


def _value(run: Mapping[str, Any], keys: Sequence[str]) -> float | None:
    found = next((run[key] for key in keys if run.get(key) is not None), None)
    return None if found is None or isinstance(found, bool | str) else float(found)


def remarks(results: RunResults, seeds: int, *, with_reasons: bool) -> list[str]:
    """What a reader has to know of the runs themselves.

    Args:
        results: All rows.
        seeds: Number of seeds.
        with_reasons: Whether to say why rows were not run; some layouts say it in the row.

    Returns:
        One sentence each.
    """
    said = [f"Left out: {name} ({reason})." for name, reason in results.gaps.items()]
    for result in results.rows:
        if result.reason and with_reasons:
            said.append(f"Not run: {result.row.name}: {result.reason}.")
        elif len(result.runs) < seeds and not result.reason:
            said.append(f"Not complete: {result.row.name} has {len(result.runs)} of {seeds} seeds.")
        if result.collapsed:
            said.append(f"Collapsed: {result.row.name}, seed {', '.join(map(str, result.collapsed))}.")
    return said
