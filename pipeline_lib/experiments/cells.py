"""The cells of a table: ours with their effects, and the thesis' values beside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline_lib.experiments.definitions import Definitions, Table
from pipeline_lib.experiments.measures import MEASURES, Group, applies
from pipeline_lib.experiments.published import Published, PublishedValue
from pipeline_lib.experiments.results import RowResult, RunResults, Summary, summarised, values_by_seed

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

    def dataset(self, tables: Sequence[str], data: str) -> tuple[str, str]:
        """Table and data set of the thesis: ours where it has it, else ImageNet-100; empty where it has neither.

        Tables of chapter 4 name no data set; the first of them counts.
        """
        own = self.definitions.datasets.get(data)
        for wanted in (own, _THESIS_DATASET, ""):
            for table in tables:
                if wanted in self.published.datasets(table):
                    return table, str(wanted)
        return "", ""

    def value(
        self, table: Table, result: RowResult, group: Group, measure: str, results: RunResults
    ) -> PublishedValue | None:
        """The value, or ``None`` where the thesis has none."""
        row = result.row
        number, dataset = self.dataset(table.published, results.data)
        if not number or row.published is None:
            return None
        order = (self.definitions.backbones.get(results.backbone, ""), *self.definitions.preferred_backbones)
        common = results.pretraining is not None and results.pretraining.multi_crop
        crops = "yes" if result.settings.get("pretrain.local_crops", common) else "no"
        return self.published.find(
            number, dataset, row.published, group.variant, measure, order, setting=row.setting, multi_crop=crops
        )


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
        before = result if result.runs else before
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
        published_effect = _difference(published, lookup.value(table, base[0], base[1], measure, results))
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
