"""From an experiment set to its runs: data sets, names and settings of every row, before anything runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from commands.runs.run_names import runs_of_starts, runs_on_data_sets, runs_on_features
from pipeline_lib.base.errors import UserError
from pipeline_lib.base.yaml_files import unknown_name
from pipeline_lib.experiments.definitions import Definitions, ExperimentSet
from pipeline_lib.experiments.measures import EVALUATIONS, MEASURES, applies, file_of, pretraining_of
from pipeline_lib.experiments.rows import Conditions, Method, Row, Table
from pipeline_lib.params.params import Params, load_params
from pipeline_lib.params.presets import Presets


@dataclass(frozen=True)
class Choice:
    """What the command line chooses; it wins over what a set or a table is bound to.

    Attributes:
        name: Name of the set.
        seeds: Number of seeds; they are 0 to ``seeds - 1``.
        data: Data sets; empty: those that the set, the table or the suite names.
        backbone: One backbone for all data sets or one for each; empty: likewise.
        target: Data set transferred to; empty: likewise, or the data set where that is given.
        method: Pretraining method; ``None``: the set's.
        rows: Names of the rows to run; empty: all.
        only: Tables of the thesis, or evaluations, to run; empty: all.
        presets: Settings of presets that all rows start from.
        single: Settings that the user gave one by one; no row may change them.
    """

    name: str
    seeds: int = 1
    data: tuple[str, ...] = ()
    backbone: tuple[str, ...] = ()
    target: str = ""
    method: Method | None = None
    rows: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    presets: Mapping[str, Any] = field(default_factory=dict)
    single: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PlannedRow:
    """A row with its settings.

    Attributes:
        row: The row.
        below: Settings of its presets.
        own: Its own settings, with those that it starts from; ``{times: x}`` is left as it is.
    """

    row: Row
    below: Mapping[str, Any]
    own: Mapping[str, Any]


@dataclass(frozen=True)
class PlannedRun:
    """Rows on one data set.

    Attributes:
        data: Data set.
        backbone: Backbone; empty in the SegIns chain and where rows are of data sets alone.
        target: Data set transferred to; empty in the UCLS chain.
        rows: The rows that are run.
        gaps: Rows that are left out, with the reason.
        settings: Changes to ``params.yaml`` that all rows start from, with the names of the suites.
        single: Those that the user gave one by one; they win over the presets of rows.
        params: Parameters without any row's settings.
    """

    data: str
    backbone: str
    target: str
    rows: tuple[PlannedRow, ...]
    gaps: Mapping[str, str]
    settings: Mapping[str, Any]
    single: Mapping[str, Any]
    params: Params

    def names(self, row: Row) -> dict[str, str]:
        """Names that the steps of a row are run with, by option."""
        names = {"data": self.data, "backbone": self.backbone, "target": self.target, "start": row.start}
        return {key: name for key, name in (names | {"method": pretraining_of(row.start)[0]}).items() if name}


@dataclass(frozen=True)
class PlannedPart:
    """Tables of a set that show the same rows under the same conditions.

    Attributes:
        tables: The tables.
        runs: The rows on each data set.
        conditions: What is bound to these tables alone, in words.
        evaluations: Evaluations to run; empty: all that the tables show.
    """

    tables: tuple[Table, ...]
    runs: tuple[PlannedRun, ...]
    conditions: str = ""
    evaluations: tuple[str, ...] = ()

    def metrics(
        self, definitions: Definitions, row: Row, settings: Mapping[str, Any]
    ) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Measures that the tables show of a row.

        Args:
            definitions: All sets.
            row: The row.
            settings: Its settings.

        Yields:
            What is measured, in words, and the metrics ``FILE.KEY`` that may hold it.
        """
        metric = self.runs[0].params.detection.metric
        left_out = {name for name in EVALUATIONS if name not in (self.evaluations or EVALUATIONS)}
        left_out |= {name for name in EVALUATIONS if name not in (row.evaluations or EVALUATIONS)}
        for table in self.tables:
            for group in definitions.groups_of(table, row):
                for measure in group.measures:
                    keys = group.metrics(measure, settings)
                    if applies(measure, metric) and not left_out.intersection(map(file_of, keys)):
                        yield group.title or MEASURES[measure].title, keys


def planned_parts(definitions: Definitions, presets: Presets, choice: Choice) -> list[PlannedPart]:
    """All runs of one set.

    Args:
        definitions: All sets.
        presets: All presets.
        choice: What to run.

    Returns:
        Its parts, each with at least one table and one run.

    Raises:
        UserError: The number of seeds, a name or a setting is not possible, or ``single`` includes a key that a row
            decides.
    """
    experiments = definitions.set_named(choice.name)
    if choice.seeds < 1:
        raise UserError(f"--seeds {choice.seeds}: allowed: 1 or more")
    tables, evaluations = _chosen(experiments.tables, choice.only)
    tables = _merged(tables) if choice.data and choice.presets else tables
    together: dict[str, list[Table]] = {}
    for table in tables:
        together.setdefault(f"{table.rows_of} {table.conditions}", []).append(table)
    rows_of = {
        name: _planned_rows(definitions, name, presets, choice)
        for name in dict.fromkeys(table.rows_of or choice.name for table in tables)
    }
    chosen = _chosen_rows(choice.rows, [planned.row.name for rows in rows_of.values() for planned in rows])
    parts = []
    for first, *others in together.values():
        of = definitions.sets[first.rows_of or choice.name]
        rows = [p for p in rows_of[first.rows_of or choice.name] if not chosen or p.row.name in chosen]
        if rows:
            layers = [*([of] if first.rows_of else []), experiments, first]
            runs = _planned_runs(rows, layers, presets, choice, of)
            parts.append(PlannedPart((first, *others), tuple(runs), _bound_alone(first, choice), evaluations))
    return parts


def _chosen_rows(pieces: Sequence[str], known: Sequence[str]) -> set[str]:
    """Names of rows from what stood between commas; a name may have commas itself, and the longest one counts."""
    found, left = set[str](), list(pieces)
    while left:
        lengths = [size for size in range(len(left), 0, -1) if ", ".join(left[:size]) in known]
        if not lengths:
            raise UserError(f"--rows {left[0]}: {unknown_name(left[0], dict.fromkeys(known))}")
        found.add(", ".join(left[: lengths[0]]))
        left = left[lengths[0] :]
    return found


def _chosen(tables: Sequence[Table], only: Sequence[str]) -> tuple[list[Table], tuple[str, ...]]:
    """Tables of a set that ``--only`` leaves by their number in the thesis, and the evaluations that it leaves."""
    numbers = dict.fromkeys(number for table in tables for number in table.published)
    shown = {file_of(key) for table in tables for name in table.measures for key in MEASURES[name].metrics}
    known = [*numbers, *(name for name in EVALUATIONS if name in shown)]
    for name in only:
        if name not in known:
            raise UserError(f"--only {name}: {unknown_name(name, known)}")
    chosen = set(only).intersection(numbers)
    left = [table for table in tables if not chosen or chosen.intersection(table.published)]
    return left, tuple(name for name in EVALUATIONS if name in only)


def _merged(tables: Sequence[Table]) -> list[Table]:
    """Tables that differ only in the data sets, backbones and presets that the command line replaces, as one."""
    found: dict[str, Table] = {}
    for table in tables:
        alike = str(table.model_copy(update={"published": (), "data": (), "backbone": (), "presets": (), "note": ""}))
        first = found.setdefault(alike, table)
        numbers = dict.fromkeys((*first.published, *table.published))
        found[alike] = first.model_copy(update={"published": tuple(numbers)})
    return list(found.values())


def _bound_alone(table: Table, choice: Choice) -> str:
    """What holds for a table alone, in words; what the command line says holds for all."""
    over = {**choice.presets, **choice.single}
    return Conditions(
        data=() if choice.data else table.data,
        backbone=() if choice.backbone else table.backbone,
        target="" if choice.target else table.target,
        presets=() if choice.presets else table.presets,
        settings={key: value for key, value in table.settings.items() if key not in over},
    ).in_words


def _planned_rows(definitions: Definitions, name: str, presets: Presets, choice: Choice) -> list[PlannedRow]:
    rows = definitions.sets[name].filled_rows(choice.method)
    settings = definitions.row_settings(name, presets)
    for row, (_, own) in zip(rows, settings, strict=True):
        for key in own:
            if key in choice.single and not isinstance(own[key], dict):
                value = choice.single[key]
                raise UserError(f"-S {key}={value}: row {row.name} of {name} sets this key; allowed: other keys")
    return [PlannedRow(row, below, own) for row, (below, own) in zip(rows, settings, strict=True)]


def _planned_runs(
    rows: Sequence[PlannedRow], layers: Sequence[Conditions], presets: Presets, choice: Choice, of: ExperimentSet
) -> Iterator[PlannedRun]:
    bound = Conditions(
        data=choice.data or _last(layer.data for layer in layers) or (),
        backbone=choice.backbone or _last(layer.backbone for layer in layers) or (),
        target=choice.target or ("" if choice.data else _last(layer.target for layer in layers) or ""),
    )

    def settings_on(data: str) -> dict[str, Any]:
        return _layered(layers, presets, choice, data)

    if of.of_starts:
        chosen = runs_of_starts(bound, settings_on, stay=bool(choice.data))
    elif of.of == "data_sets":
        chosen = runs_on_data_sets(bound, settings_on)
    else:
        chosen = runs_on_features(bound, settings_on)
    for data, backbone, target, bound_to in chosen:
        changes = bound_to | _given_by_rows(rows, load_params(changes=bound_to))
        params = load_params(changes=changes)
        suite = params.segins_suite
        starts = (*suite.given, *suite.pretrained(), "")
        gaps = {p.row.name: f"{p.row.start} is not in segins_suite" for p in rows if p.row.start not in starts}
        left = tuple(planned for planned in rows if planned.row.name not in gaps)
        yield PlannedRun(data, backbone, target, left, gaps, changes, choice.single, params)


def _layered(layers: Sequence[Conditions], presets: Presets, choice: Choice, data: str) -> dict[str, Any]:
    """Settings of all layers for one data set; presets of the command line stand in place of bound ones."""
    settings: dict[str, Any] = {}
    for layer in layers:
        names = () if choice.presets else presets_for(layer.presets, data)
        settings |= presets.settings(names) | layer.settings
    return settings | {**choice.presets, **choice.single}


def presets_for(names: Sequence[str], data: str) -> list[str]:
    """Names of presets with the data set written out, ``tiny_imagenet`` as ``tiny-imagenet``."""
    return [name.replace("{data}", data.replace("_", "-")) for name in names if data or "{data}" not in name]


def _given_by_rows(rows: Sequence[PlannedRow], params: Params) -> dict[str, Any]:
    """Starts of rows that ``checkpoints`` has are given, whatever the suite repeats of them."""
    suite = params.segins_suite
    named = [planned.row.start for planned in rows if planned.row.start in params.checkpoints]
    given = list(dict.fromkeys([*suite.given, *named]))
    if not named:
        return {}
    return {"segins_suite.given": given, "segins_suite.start": [*given, *suite.pretrained()]}


def _last(values: Iterable[Any]) -> Any:
    return next((value for value in reversed(list(values)) if value), None)
