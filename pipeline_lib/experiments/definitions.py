"""What an experiment set is: rows of settings, what its tables show, and where the thesis has the same values."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from pipeline_lib.base.errors import UserError
from pipeline_lib.base.registry import OneOf
from pipeline_lib.base.settings import Settings
from pipeline_lib.base.yaml_files import load_validated, unknown_name
from pipeline_lib.experiments.measures import MEASURES, METHODS, Group, start_title
from pipeline_lib.params.presets import Presets

DEFINITIONS = Path("conf/experiments.yaml")
Names = Annotated[tuple[str, ...], Field(strict=False)]
Method = Annotated[str, OneOf(METHODS)]
PictureKind = Literal["cluster_use", "threshold", "neighbor_accuracy", "steps", "detections", "masks"]
Pictures = Annotated[tuple[PictureKind, ...], Field(strict=False)]


class Row(Settings):
    """One experiment.

    Attributes:
        name: Name in the tables; the start's title where it is not given.
        start: Checkpoint that is evaluated; sets of the SegIns chain have one in each row, others in none.
        presets: Presets of ``conf/presets.yaml`` below the row's settings; names of suites in them do not count.
        settings: Values by dotted key of ``params.yaml``, on top of the set's base (of the row before, where the set is
            cumulative). ``{times: 2}`` doubles what would be there.
        restore: Keys that go back to what ``params.yaml`` says; ``all`` of them for a row without any settings.
        shows: Group that stands in the table instead of the table's own.
        published: Method in the published values; the start's title where it is not given.
        setting: What the published row varies.
        against: Name of an earlier row that this one is compared with, seed by seed.
        evaluations: Evaluations that are made of a start; empty: all that the tables show.
        needs: ``feature_blocks``: the row makes no sense where the backbone gives one block of features only.
    """

    name: str = ""
    start: str = ""
    presets: Names = ()
    settings: dict[str, Any] = Field(default_factory=dict)
    restore: Literal["all"] | Names = ()
    shows: str | None = None
    published: str | None = None
    setting: str = ""
    against: str | None = None
    evaluations: Annotated[tuple[Literal["linear_eval", "detection", "segmentation"], ...], Field(strict=False)] = ()
    needs: Literal["feature_blocks"] | None = None


class Conditions(Settings):
    """What rows are run under; what is empty stays as ``params.yaml`` or the set has it.

    Attributes:
        data: Data sets.
        backbone: One backbone for all data sets or one for each.
        target: Data set transferred to.
        presets: Presets of ``conf/presets.yaml``; ``{data}`` in a name stands for the data set.
        settings: Values by dotted key of ``params.yaml``; they win over the presets.
    """

    data: Names = ()
    backbone: Names = ()
    target: str = ""
    presets: Names = ()
    settings: dict[str, Any] = Field(default_factory=dict)

    @property
    def conditions(self) -> dict[str, Any]:
        """Those that are given."""
        found = {name: getattr(self, name) for name in Conditions.model_fields}
        return {name: value for name, value in found.items() if value}

    @property
    def in_words(self) -> str:
        """Those that are given, for a reader."""
        said = [
            ", ".join(dict.fromkeys(self.data)),
            ", ".join(dict.fromkeys(self.backbone)),
            f"transfer to {self.target}" if self.target else "",
        ]
        said += [f"preset {name}" for name in self.presets]
        said += [f"`{key}={value}`" for key, value in self.settings.items()]
        return "; ".join(filter(None, said))


class Table(Conditions):
    """One table of a set; its conditions come on top of the set's.

    Attributes:
        title: What it shows.
        published: Tables of the thesis with the values beside ours; the first that has the data set counts.
        rows_of: Set whose rows it has instead of its own set's.
        layout: ``columns``: groups side by side; ``stacked``: a line a group; ``comparison``: our rows, then all
            methods that the thesis has for the data set; ``data_sets``: a column a data set; ``lines``: a line a data
            set, then those that only the thesis has; ``gains``: below a row, a line of what it gains (what a table of
            ``measures`` has).
        groups: Groups of measures in their order.
        measures: Measures in their order, in place of groups.
        effect: Difference to the row before, of each group to the first one of its row, or to the row that a row names
            (what a table of ``measures`` has).
        note: What a reader has to know of this table.
        pictures: Pictures of its rows.
    """

    title: str
    published: Names = ()
    rows_of: str | None = None
    layout: Literal["columns", "stacked", "comparison", "data_sets", "lines", "gains"] = "columns"
    groups: Names = ()
    measures: Names = ()
    effect: Literal["row_before", "first_group", "against"] | None = None
    note: str = ""
    pictures: Pictures = ()

    @property
    def side_by_side(self) -> bool:
        """Whether all data sets are in one table."""
        return self.layout in ("data_sets", "lines")

    @model_validator(mode="before")
    @classmethod
    def _measures_are_laid_out_with_gains(cls, body: Any) -> Any:
        gains = {"layout": "gains", "effect": "against"}
        return {**gains, **body} if isinstance(body, Mapping) and body.get("measures") else body

    @model_validator(mode="after")
    def _shows_known_measures(self) -> Self:
        if bool(self.groups) == bool(self.measures):
            raise ValueError(f"groups = {list(self.groups)}: allowed: either groups or measures")
        for measure in self.measures:
            if measure not in MEASURES or not MEASURES[measure].metrics:
                raise ValueError(f"measures: {measure}: {unknown_name(measure, MEASURES)}")
        return self


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
