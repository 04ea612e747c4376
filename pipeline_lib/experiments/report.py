"""The report of an experiment set: one Markdown file, one CSV file, and pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline_lib.artifacts.folder import write_atomically
from pipeline_lib.experiments.definitions import ExperimentSet
from pipeline_lib.experiments.pictures import write_figure
from pipeline_lib.experiments.results import Entry, Lookup, RunResults, entries
from pipeline_lib.experiments.tables import table_markdown, tables_csv


def write_report(
    folder: Path,
    name: str,
    experiments: ExperimentSet,
    results: Sequence[RunResults],
    lookup: Lookup,
    seeds: int,
    settings: Mapping[str, Any],
    remarks: Sequence[str],
) -> str:
    """Write ``FOLDER/NAME-RUN.md``, ``.csv`` and ``.png``; several runs go into ``FOLDER/NAME.md`` and so on.

    Args:
        folder: Folder of the reports.
        name: Name of the set.
        experiments: The set.
        results: Its rows, on each run.
        lookup: The published figures.
        seeds: Number of seeds.
        settings: What differs from ``params.yaml`` in all rows.
        remarks: What could not be measured.

    Returns:
        The tables as Markdown.
    """
    title = name if experiments.over_data_sets else f"{name}-{results[0].run}"
    tables = []
    for table in experiments.tables:
        cells: list[Entry] = [cell for run in results for cell in entries(table, run, lookup)]
        tables.append((table, cells))
    first = results[0]
    text = [table_markdown(table, cells, lookup, first.data, first.backbone) for table, cells in tables]
    pictures = []
    for kind in experiments.figures:
        path = folder / (f"{title}.png" if len(experiments.figures) == 1 else f"{title}-{kind}.png")
        if write_figure(path, kind, results, lookup.definitions.groups):
            pictures.append(f"![{experiments.title}]({path.name})\n")
    runs = ", ".join(run.run for run in results)
    lines = [f"# {experiments.title}: {runs}", "", *_explained(seeds, settings), ""]
    notes = [f"{note}\n" for note in (experiments.note, *remarks) if note]
    write_atomically(folder / f"{title}.md", "\n".join([*lines, *text, *pictures, *notes]).rstrip() + "\n")
    write_atomically(folder / f"{title}.csv", tables_csv(tables))
    return "\n".join(text)


def _explained(seeds: int, settings: Mapping[str, Any]) -> list[str]:
    """What ± means here, and what was set."""
    if seeds > 1:
        spread = f"Mean ± sample standard deviation (n − 1) over {seeds} seeds"
    else:
        spread = "One seed"
    lines = [f"{spread}; for all heads, ± is the deviation over the heads, averaged over the seeds. Val split."]
    if settings:
        lines.append("Set for all rows: " + ", ".join(f"`{key}={value}`" for key, value in settings.items()) + ".")
    return lines
