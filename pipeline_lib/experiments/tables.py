"""Tables of an experiment set as Markdown and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence

from pipeline_lib.experiments.cells import Cell, Lookup
from pipeline_lib.experiments.measures import MEASURES
from pipeline_lib.experiments.results import RunResults, Summary
from pipeline_lib.experiments.rows import Table

_NOTHING = "–"
_JUDGED = "acc"
CSV_COLUMNS = (
    "table", "run", "row", "group", "measure", "seeds", "mean", "sd_over_seeds", "mean_sd_over_heads", "values",
    "against", "effect", "effect_sd", "effect_values", "seeds_with_gain",
    "published", "published_sd", "published_effect", "published_table", "published_row", "published_dataset",
    "published_backbone", "remark",
)  # fmt: skip


def table_markdown(table: Table, cells: Sequence[Cell], lookup: Lookup, run: RunResults) -> str:
    """One table as Markdown, with a line that says where the thesis' values are from.

    Args:
        table: The table.
        cells: What :func:`pipeline_lib.experiments.cells.cells_of` gave for it; of all runs where the layout has them
            side by side.
        lookup: The published values.
        run: The run; the first one there.

    Returns:
        Markdown without a heading; empty where the layout leaves out what was not measured and nothing was.
    """
    layout: dict[str, Callable[[], list[str]]] = {
        "columns": lambda: _columns(cells),
        "stacked": lambda: _stacked(cells),
        "comparison": lambda: _comparison(table, cells, lookup, run),
        "data_sets": lambda: _data_sets(cells),
        "lines": lambda: _lines(cells),
        "gains": lambda: _gains(cells),
    }
    lines = layout[table.layout]()
    if not lines:
        return ""
    origin = _origin(table, cells, lookup, run.data)
    return "\n".join([*lines, "", *([origin, ""] if origin else [])])


def summary_text(summary: Summary | None, measure: str) -> str:
    """A value with its deviation over the heads, where it is one of all heads, else over the seeds."""
    if summary is None:
        return _NOTHING
    digits = MEASURES[measure].digits
    deviation = summary.heads_sd if summary.heads_sd is not None else summary.sd
    deviation = deviation if digits else None
    return f"{summary.mean:.{digits}f}{_deviation_text(deviation, digits)}"


def effect_text(effect: float | None) -> str:
    """An effect as in the thesis: ``↑ 0.83``, ``↓ 0.06``, ``=``; empty where there is none."""
    if effect is None:
        return ""
    size = f"{abs(effect):.2f}"
    if size == "0.00":
        return "="
    return f"{'↑' if effect > 0 else '↓'} {size}"


def gain_text(gain: Summary | None, measure: str) -> str:
    """A gain with its sign, its deviation over the seeds, and in how many of them it is above zero."""
    if gain is None:
        return _NOTHING
    digits = MEASURES[measure].digits
    text = f"{gain.mean:+.{digits}f}{_deviation_text(gain.sd, digits)}"
    return f"{text} ({gain.above_zero}/{len(gain.values)})" if len(gain.values) > 1 else text


def _deviation_text(deviation: float | None, digits: int) -> str:
    return "" if deviation is None else f" ± {deviation:.{digits}f}"


def _origin(table: Table, cells: Sequence[Cell], lookup: Lookup, data: str) -> str:
    if table.layout == "comparison":
        number, dataset = _compared_with(table, lookup, data)
        return (
            f"Rows of others: thesis, Table {number}, {dataset}." if number else f"The thesis has no values for {data}."
        )
    found = [cell.published for cell in cells if cell.published is not None]
    if not found:
        return "The thesis has no values for these cells." if table.published else ""
    if table.layout == "lines":
        numbers = dict.fromkeys(place_in_thesis(value.table) for value in found)
        return " ".join([f"Thesis: {', '.join(numbers)}.", *_oddities(cells)])
    places = dict.fromkeys((place_in_thesis(value.table), value.dataset, value.backbone) for value in found)
    return "Thesis: " + "; ".join(", ".join(filter(None, place)) for place in places) + "."


def place_in_thesis(number: str) -> str:
    """What the thesis calls a table or figure: ``6.9`` is Table 6.9, ``Figure 6.2`` is itself."""
    return number if number.startswith("Figure") else f"Table {number}"


def _markdown(header: Sequence[str], rows: Iterable[Sequence[str]], *, align: str = "---") -> list[str]:
    lines = [header, ["---", *[align] * (len(header) - 1)], *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]


def _by_row(cells: Sequence[Cell]) -> dict[str, list[Cell]]:
    rows: dict[str, list[Cell]] = {}
    for cell in cells:
        rows.setdefault(cell.result.row.name, []).append(cell)
    return rows


def _by_group(cells: Sequence[Cell]) -> dict[str, list[Cell]]:
    groups: dict[str, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(cell.group, []).append(cell)
    return groups


def _thesis(cells: Sequence[Cell]) -> str:
    texts = [cell.published.text if cell.published else _NOTHING for cell in cells]
    return _NOTHING if set(texts) == {_NOTHING} else " / ".join(texts)


def _ours(cell: Cell) -> str:
    effect = effect_text(cell.effect.mean if cell.effect else None)
    return " ".join(filter(None, (summary_text(cell.summary, cell.measure), effect)))


def _columns(cells: Sequence[Cell]) -> list[str]:
    """Groups side by side; after each group, the thesis' values for it."""
    by_row = _by_row(cells)
    groups = _by_group(next(iter(by_row.values())))
    header = [""]
    for group, part in groups.items():
        prefix = f"{group}: " if len(groups) > 1 else ""
        header += [prefix + MEASURES[cell.measure].heading for cell in part]
        header.append(_thesis_heading(cell.measure for cell in part))
    rows = []
    for name, row in by_row.items():
        reason = row[0].result.reason
        line = [f"{name} ({reason})" if reason else name]
        # A row may show another group than the others; its measures stand in the same columns.
        for part in _by_group(row).values():
            line += [_NOTHING if reason else _ours(cell) for cell in part] + [_thesis(part)]
        rows.append(line)
    return _markdown(header, rows)


def _thesis_heading(measures: Iterable[str]) -> str:
    return "thesis: " + " / ".join(MEASURES[measure].title for measure in measures)


def _stacked(cells: Sequence[Cell]) -> list[str]:
    """A line a row and group, as in the thesis' Table 6.11."""
    measures = list(dict.fromkeys(cell.measure for cell in cells))
    header = ["", *(MEASURES[measure].heading for measure in measures), _thesis_heading(measures)]
    rows = []
    for name, row in _by_row(cells).items():
        if row[0].result.reason:
            rows.append([f"{name} ({row[0].result.reason})", *[_NOTHING] * len(measures), _NOTHING])
            continue
        for position, (group, part) in enumerate(_by_group(row).items()):
            title = f"{group[0].lower()}{group[1:]}"
            rows.append([f"**{name}**, {title}" if position == 0 else f"… {title}", *map(_ours, part), _thesis(part)])
    return _markdown(header, rows)


def _compared_with(table: Table, lookup: Lookup, data: str) -> tuple[str, str]:
    """The thesis' table and data set with the rows of others: ours, or the only one of the table; else empty."""
    number, dataset = lookup.dataset(table.published, data)
    fits = dataset == lookup.thesis_name(data) or len(lookup.published.datasets(number)) == 1
    return (number, dataset) if fits else ("", "")


def _comparison(table: Table, cells: Sequence[Cell], lookup: Lookup, run: RunResults) -> list[str]:
    """Our rows, then all methods of the thesis' table for the data set."""
    rows = []
    compared = list(dict.fromkeys(cell.measure for cell in cells))
    for name, row in _by_row(cells).items():
        for group, part in _by_group(row).items():
            texts = {cell.measure: _ours(cell) for cell in part}
            title = f"**{name}, {group[0].lower()}{group[1:]}**"
            rows.append([title, run.backbone, *(texts.get(measure, _NOTHING) for measure in compared), "these runs"])
    number, dataset = _compared_with(table, lookup, run.data)
    methods: dict[tuple[str, str, str], dict[str, str]] = {}
    for value in lookup.published.of_dataset([number], dataset):
        methods.setdefault((value.method, value.backbone, value.source), {})[value.measure] = value.text
    for (method, its_backbone, source), texts in methods.items():
        rows.append([method, its_backbone, *(texts.get(measure, _NOTHING) for measure in compared), source])
    return _markdown(["", "backbone", *(MEASURES[measure].heading for measure in compared), "from"], rows)


def _data_sets(cells: Sequence[Cell]) -> list[str]:
    """A table a measure, with a column a data set."""
    runs = list(dict.fromkeys(cell.run for cell in cells))
    lines: list[str] = []
    for measure in dict.fromkeys(cell.measure for cell in cells):
        of_measure = [cell for cell in cells if cell.measure == measure]
        rows = []
        for name in _by_row(cells):
            by_run = {cell.run: cell for cell in of_measure if cell.result.row.name == name}
            known = [cell for cell in by_run.values() if cell.published is not None]
            texts = [_ours(by_run[run]) if run in by_run else _NOTHING for run in runs]
            rows.append([name, *texts, _thesis(known[:1]) if known else _NOTHING])
        has_thesis = any(row[-1] != _NOTHING for row in rows)
        header = [MEASURES[measure].heading, *runs, *(["thesis"] if has_thesis else [])]
        lines += [*_markdown(header, (row[: len(header)] for row in rows)), ""]
    return lines[:-1]


def _lines(cells: Sequence[Cell]) -> list[str]:
    """A line a data set: each row's values with the thesis' beside, then what the last row gains (Tables 6.1, 6.10)."""
    by_run: dict[str, list[Cell]] = {}
    for cell in cells:
        by_run.setdefault(cell.run, []).append(cell)
    parts = list(dict.fromkeys((cell.result.row.name, cell.group) for cell in cells))
    several = [len({part[place] for part in parts}) > 1 for place in (0, 1)]
    gains = [cell for cell in cells if cell.measure == _JUDGED and (cell.effect or cell.published_effect is not None)]
    header, lines = [""], [[run] for run in by_run]
    for part in parts:
        prefix = ", ".join(name for name, many in zip(part, several, strict=True) if many)
        measures = list(dict.fromkeys(cell.measure for cell in cells if (cell.result.row.name, cell.group) == part))
        header += [": ".join(filter(None, (prefix, MEASURES[measure].heading))) for measure in measures]
        header.append(_thesis_heading(measures))
        for line, run in zip(lines, by_run.values(), strict=True):
            own = [cell for cell in run if (cell.result.row.name, cell.group) == part]
            line += [*(summary_text(cell.summary, cell.measure) for cell in own), _thesis(own)]
    if gains:
        header += [f"Δ {MEASURES[_JUDGED].heading}", f"thesis: Δ {MEASURES[_JUDGED].title}"]
        last = {cell.run: cell for cell in gains}
        for line, name in zip(lines, by_run, strict=True):
            gain = last.get(name)
            printed = None if gain is None else gain.published_effect
            line.append(gain_text(gain.effect if gain else None, _JUDGED))
            line.append(_NOTHING if printed is None else f"{printed:+.1f}")
    return _markdown(header, lines)


def _oddities(cells: Sequence[Cell]) -> list[str]:
    """Notes on printed values, with the data sets and measures that they are on."""
    noted: dict[str, tuple[dict[str, None], dict[str, None]]] = {}
    for cell in cells:
        if cell.published is not None and cell.published.note:
            sets, measures = noted.setdefault(cell.published.note, ({}, {}))
            sets[cell.published.dataset] = None
            measures[MEASURES[cell.measure].title] = None
    return [f"{', '.join((*sets, *measures))}: {note}." for note, (sets, measures) in noted.items()]


def _gains(cells: Sequence[Cell]) -> list[str]:
    """A line a row, and one for what it gains over the row that it is compared with.

    Measures that no row has are left out, and rows without a value of ours or of the thesis.
    """
    measured = {cell.measure for cell in cells if cell.summary}
    rows = [[cell for cell in row if cell.measure in measured] for row in _by_row(cells).values()]
    rows = [row for row in rows if any(cell.summary or cell.published for cell in row)]
    if not rows:
        return []
    printed = any(cell.published for row in rows for cell in row)
    header = ["", *(MEASURES[cell.measure].heading for cell in rows[0]), *(["thesis"] if printed else [])]
    lines = []
    for row in rows:
        name, against = row[0].result.row.name, row[0].result.row.against
        thesis = [_thesis_with_crops(row)] if printed else []
        lines.append([f"**{name}**" if against else name, *(summary_text(c.summary, c.measure) for c in row), *thesis])
        if any(cell.effect for cell in row):
            thesis = [_thesis_gains(row)] if printed else []
            lines.append([f"… gain over {against}", *(gain_text(cell.effect, cell.measure) for cell in row), *thesis])
    return _markdown(header, lines, align="---:")


def _thesis_with_crops(row: Sequence[Cell]) -> str:
    crops = {cell.published.multi_crop for cell in row if cell.published} - {""}
    return _thesis(row) + {"yes": " (multi-crop)", "no": " (two crops)"}.get(next(iter(crops), ""), "")


def _thesis_gains(row: Sequence[Cell]) -> str:
    gains = [cell.published_effect for cell in row]
    if all(gain is None for gain in gains):
        return _NOTHING
    return " / ".join(_NOTHING if gain is None else f"{gain:+.1f}" for gain in gains)


def tables_csv(tables: Sequence[tuple[Table, Sequence[Cell]]]) -> str:
    """All cells of all tables as CSV, one a line, with ``CSV_COLUMNS``; values are not rounded for reading."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for table, cells in tables:
        for cell in cells:
            if cell.summary or table.layout != "gains":
                writer.writerow([table.title, *_csv_line(cell)])
    return stream.getvalue()


def _csv_line(cell: Cell) -> list[str]:
    ours, effect, thesis = cell.summary, cell.effect, cell.published
    line = [cell.run, cell.result.row.name, cell.group, cell.measure]
    line += [str(len(ours.values)), *map(_number, (ours.mean, ours.sd, ours.heads_sd))] if ours else [""] * 4
    line += [_numbers(ours), cell.against]
    line += [*map(_number, (effect.mean, effect.sd))] if effect else [""] * 2
    line += [_numbers(effect), str(effect.above_zero) if effect else ""]
    line += [thesis.value, thesis.sd] if thesis else [""] * 2
    line += ["" if cell.published_effect is None else f"{cell.published_effect:.2f}"]
    line += [thesis.table, thesis.row_title, thesis.dataset, thesis.backbone] if thesis else [""] * 4
    return [*line, "; ".join(filter(None, (cell.result.reason, thesis.note if thesis else "")))]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _numbers(summary: Summary | None) -> str:
    return " ".join(_number(value) for value in summary.values) if summary else ""
