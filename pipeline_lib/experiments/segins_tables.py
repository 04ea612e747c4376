"""Tables of an experiment set of the SegIns chain as Markdown and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from pipeline_lib.experiments.segins_definitions import Table
from pipeline_lib.experiments.segins_measures import MEASURES
from pipeline_lib.experiments.segins_results import Cell, Line, Summary

_NOTHING = "–"
CSV_COLUMNS = (
    "table", "row", "measure", "seeds", "mean", "sd", "values", "against", "gain_mean", "gain_sd", "gain_values",
    "seeds_with_gain", "published", "published_gain", "published_table", "published_row",
)  # fmt: skip


def table_markdown(table: Table, rows: Sequence[Line]) -> str:
    """One table as Markdown: a line a row, and one for what it gains over the row that it is compared with.

    Args:
        table: The table.
        rows: Its rows, at least one.

    Returns:
        Markdown with a heading.
    """
    measures = [cell.measure for cell in rows[0].cells]
    printed = any(row.published is not None for row in rows)
    header = ["", *map(_heading, measures), *(["thesis"] if printed else [])]
    body: list[list[str]] = []
    for row in rows:
        against = row.result.row.against
        texts = [_value_text(cell) for cell in row.cells]
        body.append([f"**{row.result.row.name}**" if against else row.result.row.name, *texts])
        if printed:
            body[-1].append(_printed_text(row))
        if any(cell.gain for cell in row.cells):
            body.append([f"… gain over {against}", *(_gain_text(cell) for cell in row.cells)])
            if printed:
                body[-1].append(_printed_gain_text(row))
    lines = [f"## {table.title}", "", *_markdown(header, body), ""]
    return "\n".join([*lines, f"Thesis: Table {table.published}.", ""] if printed else lines)


def _heading(measure: str) -> str:
    return MEASURES[measure].title + (" (%)" if MEASURES[measure].share else "")


def _value_text(cell: Cell) -> str:
    digits = _digits(cell.measure)
    return _NOTHING if cell.value is None else _with_sd(f"{cell.value.mean:.{digits}f}", cell.value.sd, digits)


def _gain_text(cell: Cell) -> str:
    if cell.gain is None:
        return _NOTHING
    digits = _digits(cell.measure)
    text = _with_sd(f"{cell.gain.mean:+.{digits}f}", cell.gain.sd, digits)
    return f"{text} ({cell.gain.above_zero}/{len(cell.gain.values)})" if len(cell.gain.values) > 1 else text


def _with_sd(text: str, sd: float | None, digits: int) -> str:
    return text if sd is None else f"{text} ± {sd:.{digits}f}"


def _digits(measure: str) -> int:
    return 2 if MEASURES[measure].share else 3


def _printed_text(row: Line) -> str:
    if row.published is None:
        return _NOTHING
    crops = {"yes": " (multi-crop)", "no": " (two crops)"}.get(row.published.multi_crop, "")
    return " / ".join(cell.published or _NOTHING for cell in row.cells) + crops


def _printed_gain_text(row: Line) -> str:
    gains = [cell.published_gain for cell in row.cells]
    if all(gain is None for gain in gains):
        return _NOTHING
    return " / ".join(_NOTHING if gain is None else f"{gain:+.1f}" for gain in gains)


def _markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]


def tables_csv(tables: Sequence[tuple[Table, Sequence[Line]]]) -> str:
    """All cells as CSV, one a line, with ``CSV_COLUMNS``; shares in percent, values of the seeds in their order."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for table, rows in tables:
        for row in rows:
            for cell in row.cells:
                printed = row.published if cell.published is not None else None
                writer.writerow(
                    [
                        table.title, row.result.row.name, cell.measure, *_numbers(cell.value, with_count=True),
                        (row.result.row.against or "") if cell.gain else "", *_numbers(cell.gain),
                        cell.gain.above_zero if cell.gain else "", cell.published or "",
                        "" if cell.published_gain is None else f"{cell.published_gain:.1f}",
                        table.published if printed else "", printed.title if printed else "",
                    ]
                )  # fmt: skip
    return stream.getvalue()


def _numbers(summary: Summary | None, *, with_count: bool = False) -> list[str]:
    if summary is None:
        return [""] * (4 if with_count else 3)
    sd = "" if summary.sd is None else f"{summary.sd:.4f}"
    numbers = [f"{summary.mean:.4f}", sd, " ".join(f"{value:.4f}" for value in summary.values)]
    return [str(len(summary.values)), *numbers] if with_count else numbers
