"""What an experiment set of the SegIns chain is: rows of starts and settings, and what its tables show."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from pipeline_lib.base.errors import UserError
from pipeline_lib.base.registry import OneOf
from pipeline_lib.base.settings import Settings
from pipeline_lib.base.yaml_files import load_validated, unknown_name
from pipeline_lib.experiments.segins_measures import MEASURES, METHODS, start_title

DEFINITIONS = Path("conf/segins_experiments.yaml")
Method = Annotated[str, OneOf(METHODS)]
Names = Annotated[tuple[str, ...], Field(strict=False, min_length=1)]


class Row(Settings):
    """One experiment.

    Attributes:
        start: Checkpoint that is evaluated.
        name: Name in the tables; the start's title where it is not given.
        settings: Values by dotted key of ``params.yaml``.
        published: Method in the published figures; the start's title where it is not given.
        setting: What the published row varies.
        against: Name of the row that this one is compared with, seed by seed.
    """

    start: str
    name: str = ""
    settings: dict[str, Any] = Field(default_factory=dict)
    published: str = ""
    setting: str = ""
    against: str | None = None


class Table(Settings):
    """One table of a set.

    Attributes:
        title: What it shows.
        published: Table of the thesis with the figures beside ours.
        measures: Measures in their order, of :data:`pipeline_lib.experiments.segins_measures.MEASURES`.
        compared: Whether it shows what a row gains over the one that it is compared with.
    """

    title: str
    published: str | None = None
    measures: Names
    compared: bool = True

    @model_validator(mode="after")
    def _measures_are_known(self) -> Self:
        for measure in self.measures:
            if measure not in MEASURES:
                raise ValueError(f"measures: {measure}: {unknown_name(measure, MEASURES)}")
        return self


class ExperimentSet(Settings):
    """Experiments that one command makes.

    Attributes:
        title: What is examined.
        note: What a reader has to know; printed below the tables.
        method: Pretraining method that ``{method}`` and ``{title}`` in the rows stand for.
        rows: The experiments.
        tables: What is written.
    """

    title: str
    note: str = ""
    method: Method | None = None
    rows: Annotated[tuple[Row, ...], Field(strict=False, min_length=1)]
    tables: Annotated[tuple[Table, ...], Field(strict=False, min_length=1)]

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
            raise UserError(f"--method {method}: the set has rows of all methods; allowed: none, or --rows")
        chosen = method or self.method
        names = {} if chosen is None else {"{method}": chosen, "{title}": METHODS[chosen]}
        return [_filled(row, names) for row in self.rows]

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        names: list[str] = []
        for row in self.filled_rows():
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
    return row.model_copy(
        update={
            "start": start,
            "name": written_out(row.name) or start_title(start),
            "published": written_out(row.published) or start_title(start),
        }
    )


class Definitions(Settings):
    """The whole file: experiment sets by name."""

    sets: dict[str, ExperimentSet]

    def set_named(self, name: str) -> ExperimentSet:
        """One set.

        Raises:
            UserError: There is none of this name.
        """
        if name not in self.sets:
            raise UserError(f"experiment set {name}: {unknown_name(name, self.sets)}")
        return self.sets[name]


def load_definitions(path: Path = DEFINITIONS) -> Definitions:
    """Read the experiment sets.

    Raises:
        MissingFileError: The file is absent.
        UserError: A key is unknown or a name in it is; the message names it.
    """
    return load_validated(path, Definitions)
