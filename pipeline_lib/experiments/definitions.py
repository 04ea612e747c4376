"""What an experiment set is, and the file of all of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from pipeline_lib.base.errors import UserError
from pipeline_lib.base.settings import Settings
from pipeline_lib.base.yaml_files import load_validated, unknown_name
from pipeline_lib.experiments.measures import MEASURES, METHODS, Group, start_title
from pipeline_lib.experiments.rows import Conditions, Method, Names, Pictures, Row, Table
from pipeline_lib.params.presets import Presets

DEFINITIONS = Path("conf/experiments.yaml")


class Included(Conditions):
    """Tables of another set as a part of this one; its conditions win over those of the tables.

    Attributes:
        set: Name of the other set.
        tables: Their numbers in the thesis, or titles; empty: all that have a number.
        pictures: Pictures below the last of them; ``None``: those of the set.
    """

    set: str
    tables: Names = ()
    pictures: Pictures | None = None


class ExperimentSet(Conditions):
    """Experiments that one command makes.

    Attributes:
        title: What is examined.
        note: What a reader has to know; printed below the tables.
        base: Named groups of settings that all rows start from.
        cumulative: Whether a row starts from the row before.
        method: Pretraining method that ``{method}`` and ``{title}`` in the rows stand for.
        of: What rows that are no starts are made on: ``features`` of a backbone, or ``data_sets`` alone.
        rows: The experiments; none where each table has those of another set.
        tables: What is written.
        includes: Other sets whose tables are written as well; such a set has a page of its own (``reports/thesis``).
        pictures: Pictures beside the tables.
    """

    title: str
    note: str = ""
    base: Names = ()
    cumulative: bool = False
    method: Method | None = None
    of: Literal["features", "data_sets"] = "features"
    rows: Annotated[tuple[Row, ...], Field(strict=False)] = ()
    tables: Annotated[tuple[Table, ...], Field(strict=False)] = ()
    includes: Annotated[tuple[Included, ...], Field(strict=False)] = ()
    pictures: Pictures = ()

    @property
    def of_starts(self) -> bool:
        """Whether the rows are starts of the SegIns chain."""
        return any(row.start for row in self.rows)

    def filled_rows(self, method: Method | None = None) -> list[Row]:
        """The rows with all names written out.

        Args:
            method: Method in place of the set's.

        Returns:
            Rows in their order.

        Raises:
            UserError: The rows do not depend on the method.
        """
        if method is not None and self.method is None:
            raise UserError(f"--method {method}: the set has rows of all methods or of none; allowed: none, or --rows")
        chosen = method or self.method
        names = {} if chosen is None else {"{method}": chosen, "{title}": METHODS[chosen]}
        return [_filled(row, names) for row in self.rows]

    @model_validator(mode="after")
    def _has_tables(self) -> Self:
        if not (self.tables or self.includes):
            raise ValueError("tables: []: allowed: at least one, or includes")
        return self

    @model_validator(mode="after")
    def _rows_fit_together(self) -> Self:
        names: list[str] = []
        for row in self.filled_rows():
            if not row.name or bool(row.start) != self.of_starts:
                raise ValueError(f"rows: {row.name or row.start}: allowed: a start in every row, or a name in each")
            if row.name in names:
                raise ValueError(f"rows: {row.name}: none may have the name of another")
            if row.against is not None and row.against not in names:
                raise ValueError(f"rows: {row.name}: against = {row.against!r}: allowed: the name of an earlier row")
            names.append(row.name)
        return self


def _filled(row: Row, names: Mapping[str, str]) -> Row:
    def written_out(text: str) -> str:
        for key, value in names.items():
            text = text.replace(key, value)
        return text

    start = written_out(row.start)
    if not start:
        return row
    name, published = written_out(row.name), written_out(row.published or "")
    title = start_title(start)
    return row.model_copy(update={"start": start, "name": name or title, "published": published or title})


def _with_included(name: str, chosen: ExperimentSet, sets: Mapping[str, ExperimentSet]) -> ExperimentSet:
    tables = list(chosen.tables)
    for included in chosen.includes:
        if included.set not in sets or sets[included.set].includes:
            known = {other: body for other, body in sets.items() if not body.includes}
            raise ValueError(f"{name}: includes {included.set}: {unknown_name(included.set, known)}")
        tables += _tables_of(name, included, sets[included.set])
    return chosen.model_copy(update={"tables": tuple(tables)})


def _tables_of(name: str, included: Included, other: ExperimentSet) -> list[Table]:
    known = [known for table in other.tables for known in (*table.published, table.title)]
    for wanted in included.tables:
        if wanted not in known:
            raise ValueError(f"{name}: includes {included.set}: table {wanted}: {unknown_name(wanted, known)}")
    found = []
    for table in other.tables:
        named = not included.tables or table.title in included.tables
        published = tuple(number for number in table.published if named or number in included.tables)
        if published:
            own = {
                "title": ": ".join(dict.fromkeys((other.title, table.title))),
                "published": published,
                "rows_of": table.rows_of or included.set,
            }
            settings = table.settings | included.settings
            found.append(table.model_copy(update=own | included.conditions | {"settings": settings}))
    found[0] = found[0].model_copy(update={"note": other.note})
    pictures = other.pictures if included.pictures is None else included.pictures
    found[-1] = found[-1].model_copy(update={"pictures": pictures})
    return found


class Definitions(Settings):
    """The whole file.

    Attributes:
        datasets: The thesis' name of each of our data sets that it has.
        backbones: The thesis' name of each of our backbones that it has.
        preferred_backbones: Backbones whose values are shown for a backbone that the thesis does not have.
        settings: Named groups of settings.
        groups: Named groups of measures.
        sets: The experiment sets.
    """

    datasets: dict[str, str] = Field(default_factory=dict)
    backbones: dict[str, str] = Field(default_factory=dict)
    preferred_backbones: Names = ()
    settings: dict[str, dict[str, Any]] = Field(default_factory=dict)
    groups: dict[str, Group] = Field(default_factory=dict)
    sets: dict[str, ExperimentSet]

    @field_validator("sets", mode="after")
    @classmethod
    def _sets_have_what_they_include(cls, sets: dict[str, ExperimentSet]) -> dict[str, ExperimentSet]:
        return {name: _with_included(name, chosen, sets) for name, chosen in sets.items()}

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        for name, chosen in self.sets.items():
            shown = [group for table in chosen.tables for group in table.groups]
            shown += [row.shows for row in chosen.rows if row.shows]
            for kind, names, known in (
                ("group", shown, self.groups),
                ("base", chosen.base, self.settings),
                ("rows_of", [table.rows_of for table in chosen.tables if table.rows_of], self.sets),
            ):
                for wanted in names:
                    if wanted not in known:
                        raise ValueError(f"sets.{name}: {kind} {wanted}: {unknown_name(wanted, known)}")
            for table in chosen.tables:
                of = self.sets[table.rows_of or name]
                if not of.rows or of.of_starts != bool(table.measures):
                    raise ValueError(
                        f"sets.{name}: {table.title}: allowed: measures of starts, or groups of other rows"
                    )
        return self

    def set_named(self, name: str) -> ExperimentSet:
        """One set.

        Raises:
            UserError: There is none of this name.
        """
        if name not in self.sets:
            raise UserError(f"experiment set {name}: {unknown_name(name, self.sets)}")
        return self.sets[name]

    def row_settings(self, name: str, presets: Presets | None = None) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        """Settings of each row of a set.

        Args:
            name: Name of the set.
            presets: What the rows' presets are looked up in.

        Returns:
            By row, those of its presets, and its own with those that it starts from; ``{times: x}`` is left as it is.
        """
        chosen = self.set_named(name)
        start: dict[str, Any] = {}
        for base in chosen.base:
            start |= self.settings[base]
        found: list[tuple[dict[str, Any], dict[str, Any]]] = []
        for row in chosen.rows:
            below, own = found[-1] if found and chosen.cumulative else ({}, start)
            kept = {} if row.restore == "all" else {key: own[key] for key in own if key not in row.restore}
            under = presets.settings(row.presets) if presets and row.presets else {}
            found.append((below | under, kept | row.settings))
        return found

    def groups_of(self, table: Table, row: Row) -> list[Group]:
        """Groups that a table shows of a row."""
        if table.measures:
            return [Group(title="", variant="", measures={name: MEASURES[name].metrics for name in table.measures})]
        return [self.groups[row.shows]] if row.shows else [self.groups[name] for name in table.groups]


def load_definitions(path: Path = DEFINITIONS) -> Definitions:
    """Read the experiment sets.

    Raises:
        MissingFileError: The file is absent.
        UserError: A key is unknown or a name in it is; the message names it.
    """
    return load_validated(path, Definitions)
