"""The cells of a table: ours with their effects, and the thesis' values beside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline_lib.experiments.definitions import Definitions
from pipeline_lib.experiments.measures import MEASURES, Group, applies
from pipeline_lib.experiments.published import Published, PublishedValue
from pipeline_lib.experiments.results import RowResult, RunResults, Summary, summarised, values_by_seed
from pipeline_lib.experiments.rows import Table

_THESIS_DATASET = "ImageNet-100"


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Attributes:
        run: Name of the run.
        result: The row.
        group: Title of the group.
        measure: The measure.
        summary: Ours; ``None`` where there is none.
        against: What the effect is one over: a row, or a group of the row; empty where there is no effect.
        effect: Differences, paired by seed, of the seeds that both have.
        published: The thesis' value.
        published_effect: Difference of what the thesis prints, where both values are of the same kind of run.
    """

    run: str
    result: RowResult
    group: str
    measure: str
    summary: Summary | None
    against: str = ""
    effect: Summary | None = None
    published: PublishedValue | None = None
    published_effect: float | None = None


@dataclass(frozen=True)
class Lookup:
    """Finds the thesis' value for a cell of ours."""

    published: Published
    definitions: Definitions

    def thesis_name(self, data: str) -> str:
        """The thesis' name of a data set; its own where the thesis does not have it."""
        return self.definitions.datasets.get(data, data)

    def dataset(self, tables: Sequence[str], data: str) -> tuple[str, str]:
        """Table and data set of the thesis: ours where it has it, else ImageNet-100, else the only one of a table.

        Tables of chapter 4 name no data set; the first of them counts. Both are empty where there is none.
        """
        for wanted in (self.thesis_name(data), _THESIS_DATASET, ""):
            for table in tables:
                if wanted in self.published.datasets(table):
                    return table, wanted
        only = ((table, found[0]) for table in tables if len(found := self.published.datasets(table)) == 1)
        return next(only, ("", ""))

    def value(
        self, table: Table, result: RowResult, group: Group, measure: str, results: RunResults
    ) -> PublishedValue | None:
        """The value, or ``None`` where the thesis has none."""
        row = result.row
        number, dataset = self.dataset(table.published, results.data)
        # A line is of one data set: another's values would say nothing beside ours.
        other = table.layout == "lines" and dataset != self.thesis_name(results.data)
        if not number or row.published is None or other:
            return None
        order = (self.definitions.backbones.get(results.backbone, ""), *self.definitions.preferred_backbones)
        common = results.pretraining is not None and results.pretraining.multi_crop
        crops = "yes" if result.settings.get("pretrain.local_crops", common) else "no"
        return self.published.find(
            number, dataset, row.published, group.variant, measure, order, setting=row.setting, multi_crop=crops
        )

    def difference(
        self,
        table: Table,
        rows: tuple[RowResult, RowResult],
        groups: tuple[Group, Group],
        measure: str,
        results: RunResults,
    ) -> float | None:
        """What the thesis has as the first row less the second: as printed, or from two values of one kind of run."""
        row, base = rows
        value = self.value(table, row, groups[0], measure, results)
        if value is None:
            return None
        name = f"{row.row.published} less {base.row.published}"
        printed = self.published.find(value.table, value.dataset, name, "difference", measure)
        if printed is not None:
            return float(printed.value)
        return _difference(value, self.value(table, base, groups[1], measure, results))

    def others(self, table: Table, runs: Sequence[RunResults]) -> list[RunResults]:
        """The data sets of the thesis' tables that no run is on, under their names there, as runs without values."""
        ours = {self.thesis_name(run.data) for run in runs}
        sets = dict.fromkeys(name for number in table.published for name in self.published.datasets(number))
        rows = [result.row for result in runs[0].rows]
        absent = "not among the data sets of this table"
        return [RunResults(name, [RowResult(row, reason=absent) for row in rows]) for name in sets if name not in ours]


def cells_of(table: Table, results: RunResults, lookup: Lookup) -> list[Cell]:
    """All cells of a table, row by row.

    Args:
        table: What it shows.
        results: Our runs.
        lookup: The published values.

    Returns:
        The cells.
    """
    cells: list[Cell] = []
    metric = results.pretraining.detection_metric if results.pretraining else ""
    by_name = {result.row.name: result for result in results.rows}
    before: RowResult | None = None
    for result in results.rows:
        shown = lookup.definitions.groups_of(table, result.row)
        for group in shown:
            base: tuple[RowResult, Group] | None = None
            against = ""
            if table.effect == "row_before" and before is not None:
                base, against = (before, group), before.row.name
            elif table.effect == "first_group" and group is not shown[0]:
                base, against = (result, shown[0]), shown[0].title
            elif table.effect == "against" and result.row.against in by_name:
                against = str(result.row.against)
                base = by_name[against], group
            for measure in group.measures:
                if applies(measure, metric):
                    cells.append(_cell(table, results, lookup, result, group, measure, base, against))
        before = result if result.runs or table.layout == "lines" else before
    return cells


def _cell(
    table: Table,
    results: RunResults,
    lookup: Lookup,
    result: RowResult,
    group: Group,
    measure: str,
    base: tuple[RowResult, Group] | None,
    against: str,
) -> Cell:
    effect, published_effect = None, None
    published = lookup.value(table, result, group, measure, results)
    if base is not None and measure in base[1].measures:
        theirs = values_by_seed(*base, measure)
        ours = values_by_seed(result, group, measure)
        differences = tuple(value - theirs[seed] for seed, value in ours.items() if seed in theirs)
        effect = Summary(differences) if differences else None
        published_effect = lookup.difference(table, (result, base[0]), (group, base[1]), measure, results)
    return Cell(
        run=results.run,
        result=result,
        group=group.title,
        measure=measure,
        summary=summarised(result, group, measure),
        against=against if effect else "",
        effect=effect,
        published=published,
        published_effect=published_effect,
    )


def _difference(value: PublishedValue | None, base: PublishedValue | None) -> float | None:
    # Rows with different numbers of crops or backbones say nothing of what the setting changes.
    if value is None or base is None:
        return None
    if (value.multi_crop, value.dataset, value.backbone) != (base.multi_crop, base.dataset, base.backbone):
        return None
    return float(value.value) - float(base.value)


def empty_cells(cells: Sequence[Cell]) -> list[str]:
    """What a table does not show, a line a row and reason; equal reasons of a row's measures are told once.

    Args:
        cells: All cells of the table.

    Returns:
        Lines such as ``+ Feat: ACC, NMI: does not apply``.
    """
    lacking: dict[tuple[str, str], list[str]] = {}
    for cell in cells:
        title = MEASURES[cell.measure].title
        if cell.summary is None:
            reason = cell.result.reason or "no stage measures it for this row"
            lacking.setdefault((f"{cell.run}, {cell.result.row.name}", reason), []).append(title)
    return [f"{row}: {', '.join(dict.fromkeys(titles))}: {reason}" for (row, reason), titles in lacking.items()]
