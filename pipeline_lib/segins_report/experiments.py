"""Experiment sets over seeds: what they are, and their tables of mean ± standard deviation."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from pipeline_lib.artifacts.folder import write_atomically
from pipeline_lib.configuration import first_complaint, read_yaml, unknown_name
from pipeline_lib.errors import UserError
from pipeline_lib.segins_report.tables import TITLES, percent, start_title
from pipeline_lib.settings import Settings

DEFINITIONS = Path("conf/segins_experiments.yaml")


class ExperimentSet(Settings):
    """Variants of the SegIns chain.

    Attributes:
        title: What is examined.
        starts: Rows of the tables; empty: all of the suite.
        variants: Changes to ``params.yaml`` by the name of the variant.
    """

    title: str
    starts: tuple[str, ...] = Field(default=(), strict=False)
    variants: dict[str, dict[str, Any]] = Field(min_length=1)


@dataclass(frozen=True)
class Row:
    """Figures of one start in one variant, one mapping a seed, shares."""

    variant: str
    start: str
    runs: tuple[Mapping[str, float], ...]


def load_sets(path: Path = DEFINITIONS) -> dict[str, ExperimentSet]:
    """Read all sets.

    Raises:
        UserError: The file is not valid; the message names the key.
    """
    raw = read_yaml(path)
    try:
        return {str(name): ExperimentSet.model_validate(value) for name, value in raw.items()}
    except ValidationError as error:
        raise UserError(f"{path}: {first_complaint(error)}") from None


def set_named(sets: Mapping[str, ExperimentSet], name: str) -> ExperimentSet:
    """A set by its name.

    Raises:
        UserError: There is none.
    """
    if name not in sets:
        raise UserError(f"{name}: {unknown_name(name, sets)}")
    return sets[name]


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and sample standard deviation; none for a single value."""
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None


def _measures(rows: Sequence[Row]) -> list[str]:
    there = {key for row in rows for run in row.runs for key in run}
    known = [key for key in TITLES if key in there]
    return known + sorted(there - set(known))


def markdown(title: str, rows: Sequence[Row], seeds: int, note: str) -> str:
    """A table with a line for each variant and start, in percent."""
    measures = _measures(rows)
    lines = [f"# {title}", "", "| variant | start | " + " | ".join(TITLES.get(key, key) for key in measures) + " |"]
    lines.append("| --- | --- |" + " --- |" * len(measures))
    for row in rows:
        cells = []
        for key in measures:
            values = [run[key] for run in row.runs if key in run]
            cells.append(percent(*mean_and_deviation(values)) if values else "–")
        lines.append(f"| {row.variant} | {start_title(row.start)} | " + " | ".join(cells) + " |")
    spread = "mean ± sample standard deviation" if seeds > 1 else "one run"
    return "\n".join([*lines, "", f"Percent, {spread} over {seeds} seed{'s' if seeds > 1 else ''}. {note}", ""])


def write_tables(folder: Path, name: str, title: str, rows: Sequence[Row], seeds: int, note: str) -> str:
    """Write ``NAME.md`` and, with a line for each run, ``NAME.csv``.

    Args:
        folder: Folder of the tables.
        name: Name of the files.
        title: Heading.
        rows: Figures.
        seeds: Number of seeds.
        note: What a reader has to know.

    Returns:
        The Markdown text.
    """
    text = markdown(title, rows, seeds, note)
    write_atomically(folder / f"{name}.md", text)
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["variant", "start", "seed", "measure", "value"])
    for row in rows:
        for seed, run in enumerate(row.runs):
            writer.writerows([row.variant, row.start, seed, key, round(value, 4)] for key, value in run.items())
    write_atomically(folder / f"{name}.csv", stream.getvalue())
    return text
