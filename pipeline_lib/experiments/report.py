"""The report of an experiment set: one Markdown file, one CSV file, and pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline_lib.artifacts.folder import write_atomically
from pipeline_lib.experiments.cells import Cell, Lookup, cells_of, empty_cells
from pipeline_lib.experiments.definitions import ExperimentSet
from pipeline_lib.experiments.measures import Group
from pipeline_lib.experiments.page import Section, chapter_page
from pipeline_lib.experiments.pictures import write_picture
from pipeline_lib.experiments.results import Part, RunResults, remarks
from pipeline_lib.experiments.rows import Conditions, PictureKind, Table
from pipeline_lib.experiments.tables import place_in_thesis, table_markdown, tables_csv

Draw = Callable[[Path, PictureKind, Sequence[RunResults], Mapping[str, Group]], bool]
"""Draws a picture into a file and says whether there was anything to draw."""

_TELLS_REASONS = ("columns", "stacked")


@dataclass(frozen=True)
class Report:
    """What goes into the files of one report.

    Attributes:
        path: The files, without their endings.
        experiments: The set.
        parts: Its tables with the rows as far as they have run.
        seeds: Number of seeds.
        settings: What differs from ``params.yaml`` in all rows.
        remarks: What could not be measured.
        draw: Draws the pictures; that of the library draws what metrics tell.
    """

    path: Path
    experiments: ExperimentSet
    parts: Sequence[Part]
    seeds: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    remarks: Sequence[str] = ()
    draw: Draw = write_picture


def write_report(report: Report, lookup: Lookup) -> str:
    """Write ``PATH.md``, ``PATH.csv`` and the pictures; of a set that includes others, ``PATH.html`` as well.

    Args:
        report: What goes into them.
        lookup: The published values.

    Returns:
        The tables as Markdown, with the notes.
    """
    experiments, path = report.experiments, report.path
    runs = [run for part in report.parts for run in part.runs]
    names = list(dict.fromkeys(run.run for run in runs))
    tables = list(_filled_tables(report, lookup))
    sections = list(_sections(report, lookup, tables, len(names)))
    text = [line for section in sections for line in section.markdown]
    pictures = []
    for kind in experiments.pictures:
        picture = path.with_name(f"{path.name}.png" if len(experiments.pictures) == 1 else f"{path.name}-{kind}.png")
        if report.draw(picture, kind, runs, lookup.definitions.groups):
            pictures.append(f"![{experiments.title}]({picture.name})\n")
    said = dict.fromkeys((experiments.note, *report.remarks, *_remarks(report)))
    notes = [f"{note}\n" for note in said if note]
    title = f"{experiments.title}: {', '.join(names)}"
    explained = _explained(report, runs)
    content = "\n".join([f"# {title}", "", *explained, "", *text, *pictures, *notes]).rstrip() + "\n"
    write_atomically(path.with_name(f"{path.name}.md"), content)
    write_atomically(path.with_name(f"{path.name}.csv"), tables_csv([(table, cells) for _, table, _, cells in tables]))
    if experiments.includes:
        write_atomically(path.with_name(f"{path.name}.html"), chapter_page(title, explained, sections, notes))
    return "\n".join([*text, *notes])


Filled = tuple[Part, Table, Sequence[RunResults], Sequence[Cell]]


def _filled_tables(report: Report, lookup: Lookup) -> Iterator[Filled]:
    """Every table of each run, or of all runs of its part where it puts them side by side; in the order of the set."""
    order = {(table.rows_of, table.title): place for place, table in enumerate(report.experiments.tables)}
    pairs = [(part, table) for part in report.parts for table in part.tables]
    for part, table in sorted(pairs, key=lambda pair: order.get((pair[1].rows_of, pair[1].title), 0)):
        for shown in [part.runs] if table.side_by_side else [[run] for run in part.runs]:
            others = lookup.others(table, shown) if table.layout == "lines" else []
            yield part, table, shown, [cell for run in (*shown, *others) for cell in cells_of(table, run, lookup)]


def _sections(report: Report, lookup: Lookup, tables: Sequence[Filled], names: int) -> Iterator[Section]:
    noted: set[str] = set()
    for part, table, shown, cells in tables:
        body = table_markdown(table, cells, lookup, shown[0])
        if not body:
            continue
        where = f": {shown[0].run}" if names > len(shown) else ""
        number = ", ".join(map(place_in_thesis, table.published)) if report.experiments.includes else ""
        title = f"{number}: {table.title}{where}" if number else f"{table.title}{where}"
        note = "" if table.note in noted else table.note
        noted.add(table.note)
        pictures = []
        for kind in table.pictures:
            picture = report.path.with_name(f"{report.path.name}-{kind}-{_slug(table, shown)}.png")
            if report.draw(picture, kind, shown, lookup.definitions.groups):
                pictures.append(picture)
        here = part.conditions.replace("{data}", shown[0].data.replace("_", "-"))
        yield Section(title, here, body, pictures, note, empty_cells(cells))


def _slug(table: Table, shown: Sequence[RunResults]) -> str:
    """What tells pictures of one kind apart."""
    return "-".join([*table.published, *(run.run for run in shown)]).replace(" ", "-").lower()


def _remarks(report: Report) -> list[str]:
    several = sum(len(part.runs) for part in report.parts) > 1
    said = []
    for part in report.parts:
        with_reasons = any(table.layout not in _TELLS_REASONS for table in part.tables)
        for run in part.runs:
            where = f"{run.run}: " if several else ""
            said += [where + remark for remark in remarks(run, report.seeds, with_reasons=with_reasons)]
    return said


def _explained(report: Report, runs: Sequence[RunResults]) -> list[str]:
    """What was run, what ± means here, and what was set."""
    lines = list(dict.fromkeys(text for run in runs if (text := _network_text(run))))
    if lines:
        lines += _spread_of_starts(report.seeds)
    if any(run.backbone for run in runs):
        spread = f"Mean ± sample standard deviation (n − 1) over {report.seeds} seeds"
        first = spread if report.seeds > 1 else "One seed"
        lines.append(f"{first}; for all heads, ± is the deviation over the heads, averaged over the seeds. Val split.")
    bound = Conditions(presets=report.experiments.presets, settings=report.experiments.settings).in_words
    given = ", ".join(f"`{key}={value}`" for key, value in report.settings.items())
    if bound or given:
        lines.append(f"Set for all rows: {'; '.join(filter(None, (bound, given)))}.")
    return lines


def _network_text(run: RunResults) -> str:
    if run.pretraining is None:
        return ""
    crops = "multi-crop" if run.pretraining.multi_crop else "two crops"
    if any("pretrain.local_crops" in result.row.settings for result in run.rows):
        crops = f"{crops} where the row says no other"
    epochs = f"{run.pretraining.epochs} epoch{'' if run.pretraining.epochs == 1 else 's'}"
    transfer = f"transfer to {run.target}, val split."
    return f"{run.pretraining.architecture}, {epochs} on {run.data}, {crops}; {transfer}"


def _spread_of_starts(seeds: int) -> list[str]:
    if seeds > 1:
        spread = (
            f"Mean ± sample standard deviation (n − 1) over {seeds} seeds of weights, order and crops in all stages; "
            "the images stay the same. Gains are paired by seed; in brackets, in how many seeds they are above zero."
        )
    else:
        spread = "One seed: a difference between two rows may be chance."
    return [spread, "The thesis' values are of ResNet-50 on ImageNet-100, PASCAL VOC and COCO, 500 epochs."]
