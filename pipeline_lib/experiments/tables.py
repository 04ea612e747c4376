"""Tables of an experiment set as Markdown and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence

from pipeline_lib.experiments.definitions import Table
from pipeline_lib.experiments.published import Figure
from pipeline_lib.experiments.results import PERCENT, Entry, Lookup, Summary

_TITLES = {
    "nmi": "NMI",
    "acc": "ACC",
    "balanced_acc": "balanced ACC",
    "ari": "ARI",
    "nn_acc": "NN ACC",
    "nn_count": "neighbours an image",
    "train_kl_to_uniform": "KL on train",
    "val_kl_to_uniform": "KL on val",
}
_DIGITS = {"nn_count": 1, "train_kl_to_uniform": 4, "val_kl_to_uniform": 4}
_NOTHING = "–"
_MEASURES = ("nmi", "acc", "ari")
CSV_COLUMNS = (
    "table", "run", "row", "group", "measure", "mean", "sd_over_seeds", "mean_sd_over_heads", "seeds", "effect",
    "published", "published_sd", "published_table", "published_dataset", "published_backbone", "remark",
)  # fmt: skip


def cell_text(summary: Summary | None, measure: str) -> str:
    """A figure with its deviation over the heads, where it is one of all heads, else over the seeds."""
    if summary is None:
        return _NOTHING
    digits = _DIGITS.get(measure, 2)
    deviation = summary.heads_sd if summary.heads_sd is not None else summary.sd
    text = f"{summary.mean:.{digits}f}"
    return text if deviation is None else f"{text} ± {deviation:.{digits}f}"


def effect_text(effect: float | None) -> str:
    """An effect as in the thesis: ``↑ 0.83``, ``↓ 0.06``, ``=``; empty where there is none."""
    if effect is None:
        return ""
    size = f"{abs(effect):.2f}"
    if size == "0.00":
        return "="
    return f"{'↑' if effect > 0 else '↓'} {size}"


def published_text(figure: Figure | None) -> str:
    """A printed figure with its deviation."""
    return _NOTHING if figure is None else figure.text


def table_markdown(table: Table, cells: Sequence[Entry], lookup: Lookup, data: str, backbone: str) -> str:
    """One table as Markdown with a heading and a line that says where the thesis' figures are from.

    Args:
        table: The table.
        cells: What :func:`pipeline_lib.experiments.results.entries` gave for it; of all runs for ``data_sets``.
        lookup: The published figures.
        data: Data set; of the first run for ``data_sets``.
        backbone: Backbone, likewise.

    Returns:
        Markdown.
    """
    layout: dict[str, Callable[[], list[str]]] = {
        "columns": lambda: _columns(cells),
        "stacked": lambda: _stacked(cells),
        "comparison": lambda: _comparison(table, cells, lookup, data, backbone),
        "data_sets": lambda: _data_sets(cells),
    }
    origin = _origin(table, cells, lookup, data)
    return "\n".join([f"## {table.title}", "", *layout[table.layout](), "", *([origin, ""] if origin else [])])


def _origin(table: Table, cells: Sequence[Entry], lookup: Lookup, data: str) -> str:
    if table.layout == "comparison":
        number, dataset = lookup.dataset(table.published, data)
        if lookup.definitions.datasets.get(data) != dataset:
            return f"The thesis has no figures for {data}."
        return f"Rows of others: thesis, Table {number}, {dataset}."
    found = [cell.published for cell in cells if cell.published is not None]
    if not found:
        return "The thesis has no figures for these cells." if table.published else ""
    places = dict.fromkeys((_place(figure), figure.dataset, figure.backbone) for figure in found)
    return "Thesis: " + "; ".join(", ".join(filter(None, place)) for place in places) + "."


def _place(figure: Figure) -> str:
    return figure.table if figure.table.startswith("Figure") else f"Table {figure.table}"


def _markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [header, ["---"] * len(header), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]


def _title(measure: str) -> str:
    return _TITLES.get(measure, measure) + (" (%)" if measure in PERCENT else "")


def _by_row(cells: Sequence[Entry]) -> dict[str, list[Entry]]:
    rows: dict[str, list[Entry]] = {}
    for cell in cells:
        rows.setdefault(cell.row, []).append(cell)
    return rows


def _thesis(cells: Sequence[Entry]) -> str:
    texts = [published_text(cell.published) for cell in cells]
    return _NOTHING if set(texts) == {_NOTHING} else " / ".join(texts)


def _ours(cell: Entry) -> str:
    return " ".join(filter(None, (cell_text(cell.summary, cell.measure), effect_text(cell.effect))))


def _columns(cells: Sequence[Entry]) -> list[str]:
    """Groups side by side; after each group, the thesis' figures for it."""
    by_row = _by_row(cells)
    first = next(iter(by_row.values()))
    groups = list(dict.fromkeys(cell.group for cell in first))
    header = [""]
    for group in groups:
        measures = [cell.measure for cell in first if cell.group == group]
        prefix = f"{group}: " if len(groups) > 1 else ""
        header += [prefix + _title(measure) for measure in measures]
        header.append("thesis: " + " / ".join(_TITLES.get(measure, measure) for measure in measures))
    rows = []
    for name, row in by_row.items():
        line = [name]
        # A row may show another group than the others; its measures stand in the same columns.
        for group in dict.fromkeys(cell.group for cell in row):
            part = [cell for cell in row if cell.group == group]
            line += [_NOTHING if cell.reason else _ours(cell) for cell in part] + [_thesis(part)]
        if row[0].reason:
            line[0] = f"{name} ({row[0].reason})"
        rows.append(line)
    return _markdown(header, rows)


def _stacked(cells: Sequence[Entry]) -> list[str]:
    """A line a row and group, as in the thesis' Table 6.11."""
    measures = list(dict.fromkeys(cell.measure for cell in cells))
    header = ["", *map(_title, measures), "thesis: " + " / ".join(_TITLES.get(m, m) for m in measures)]
    rows = []
    for name, row in _by_row(cells).items():
        if row[0].reason:
            rows.append([f"{name} ({row[0].reason})", *[_NOTHING] * len(measures), _NOTHING])
            continue
        for position, group in enumerate(dict.fromkeys(cell.group for cell in row)):
            part = [cell for cell in row if cell.group == group]
            title = (
                f"**{name}**, {group[0].lower()}{group[1:]}" if position == 0 else f"… {group[0].lower()}{group[1:]}"
            )
            rows.append([title, *map(_ours, part), _thesis(part)])
    return _markdown(header, rows)


def _comparison(table: Table, cells: Sequence[Entry], lookup: Lookup, data: str, backbone: str) -> list[str]:
    """Our rows, then all methods of the thesis' table for the data set."""
    rows = []
    for name, row in _by_row(cells).items():
        for group in dict.fromkeys(cell.group for cell in row):
            texts = {cell.measure: _ours(cell) for cell in row if cell.group == group}
            title = f"**{name}, {group[0].lower()}{group[1:]}**"
            rows.append([title, backbone, *(texts.get(measure, _NOTHING) for measure in _MEASURES), "these runs"])
    number, dataset = lookup.dataset(table.published, data)
    if lookup.definitions.datasets.get(data) == dataset:
        methods: dict[tuple[str, str, str], dict[str, str]] = {}
        for figure in lookup.published.of_dataset([number], dataset):
            methods.setdefault((figure.method, figure.backbone, figure.source), {})[figure.measure] = figure.text
        for (method, its_backbone, source), texts in methods.items():
            rows.append([method, its_backbone, *(texts.get(measure, _NOTHING) for measure in _MEASURES), source])
    return _markdown(["", "backbone", *map(_title, _MEASURES), "from"], rows)


def _data_sets(cells: Sequence[Entry]) -> list[str]:
    """A table a measure, with a column a data set."""
    runs = list(dict.fromkeys(cell.run for cell in cells))
    lines: list[str] = []
    for measure in dict.fromkeys(cell.measure for cell in cells):
        of_measure = [cell for cell in cells if cell.measure == measure]
        rows = []
        for name in dict.fromkeys(cell.row for cell in cells):
            by_run = {cell.run: cell for cell in of_measure if cell.row == name}
            known = [cell.published for cell in by_run.values() if cell.published is not None]
            texts = [_ours(by_run[run]) if run in by_run else _NOTHING for run in runs]
            rows.append([name, *texts, published_text(known[0] if known else None)])
        has_thesis = any(row[-1] != _NOTHING for row in rows)
        header = [_title(measure), *runs, *(["thesis"] if has_thesis else [])]
        lines += [*_markdown(header, (row[: len(header)] for row in rows)), ""]
    return lines[:-1]


def tables_csv(tables: Sequence[tuple[Table, Sequence[Entry]]]) -> str:
    """All cells of all tables as CSV, one a line, with ``CSV_COLUMNS``; figures are not rounded for reading."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for table, cells in tables:
        for cell in cells:
            ours, thesis = cell.summary, cell.published
            numbers = [ours.mean, ours.sd, ours.heads_sd] if ours else [None] * 3
            writer.writerow(
                [
                    table.title, cell.run, cell.row, cell.group, cell.measure,
                    *("" if value is None else f"{value:.4f}" for value in numbers),
                    ours.seeds if ours else "",
                    "" if cell.effect is None else f"{cell.effect:.4f}",
                    *([thesis.value, thesis.sd, thesis.table, thesis.dataset, thesis.backbone] if thesis else [""] * 5),
                    cell.reason or (thesis.note if thesis else ""),
                ]
            )  # fmt: skip
    return stream.getvalue()
