"""What an experiment set is: rows of settings, what its tables show, and where the thesis has the same figures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from pipeline_lib.base.errors import UserError
from pipeline_lib.base.settings import Settings
from pipeline_lib.base.yaml_files import load_validated, unknown_name

DEFINITIONS = Path("conf/ablations.yaml")
Names = Annotated[tuple[str, ...], Field(strict=False)]
Keys = Annotated[tuple[str, ...], Field(strict=False, min_length=1)]
FigureKind = Literal["cluster_use", "threshold", "neighbor_accuracy", "steps"]


class Group(Settings):
    """Measures that are shown together.

    Attributes:
        title: Heading.
        variant: What the published figures call it.
        measures: By measure, the metric ``FILE.KEY`` with its value, or several of which the first that is there
            counts. ``{KEY}`` in it stands for the row's setting of that key.
        spread: By measure, the metric with its deviation over the heads.
        run: ``mean`` over the seeds, or ``best``: the seed with the best accuracy by labels.
    """

    title: str
    variant: str = "best_head"
    measures: dict[str, str | Keys]
    spread: dict[str, str] = Field(default_factory=dict)
    run: Literal["mean", "best"] = "mean"

    def metrics(self, measure: str, settings: Mapping[str, Any]) -> tuple[str, ...]:
        """Metrics that may hold ``measure``, in the order in which they count."""
        named = self.measures[measure]
        keys = (named,) if isinstance(named, str) else named
        return tuple(_filled(key, settings) for key in keys)


def _filled(key: str, settings: Mapping[str, Any]) -> str:
    for name, value in settings.items():
        key = key.replace("{" + name + "}", str(value))
    return key


class Row(Settings):
    """One experiment.

    Attributes:
        name: Name in the tables.
        settings: Values by dotted key of ``params.yaml``, on top of the set's base (of the row before, where the set is
            cumulative). ``{times: 2}`` doubles what would be there.
        restore: Keys that go back to what ``params.yaml`` says; ``all`` of them for a row without any settings.
        shows: Group that stands in the table instead of the table's own.
        published: Method in the published figures.
        needs: ``feature_blocks``: the row makes no sense where the backbone gives one block of features only.
    """

    name: str
    settings: dict[str, Any] = Field(default_factory=dict)
    restore: Literal["all"] | Names = ()
    shows: str | None = None
    published: str | None = None
    needs: Literal["feature_blocks"] | None = None


class Table(Settings):
    """One table of a set.

    Attributes:
        title: What it shows.
        published: Tables of the thesis with the figures beside ours; the first that has the data set counts.
        layout: ``columns``: groups side by side; ``stacked``: a line a group; ``comparison``: our rows, then all
            methods that the thesis has for the data set; ``data_sets``: a column a data set.
        groups: Groups in their order.
        effect: Difference to the best head of the row before, or of each group to the first one of its row.
    """

    title: str
    published: Names = ()
    layout: Literal["columns", "stacked", "comparison", "data_sets"] = "columns"
    groups: Keys
    effect: Literal["row_before", "first_group"] | None = None


class ExperimentSet(Settings):
    """Experiments that one command makes.

    Attributes:
        title: What is examined.
        note: What a reader has to know; printed below the tables.
        base: Named groups of settings that all rows start from.
        cumulative: Whether a row starts from the row before.
        rows: The experiments.
        tables: What is written.
        figures: Pictures beside the tables.
    """

    title: str
    note: str = ""
    base: Names = ()
    cumulative: bool = False
    rows: Annotated[tuple[Row, ...], Field(strict=False, min_length=1)]
    tables: Annotated[tuple[Table, ...], Field(strict=False, min_length=1)]
    figures: Annotated[tuple[FigureKind, ...], Field(strict=False)] = ()

    @property
    def over_data_sets(self) -> bool:
        """Whether all data sets go into one report."""
        return any(table.layout == "data_sets" for table in self.tables)


class Definitions(Settings):
    """The whole file.

    Attributes:
        datasets: The thesis' name of each of our data sets that it has.
        backbones: The thesis' name of each of our backbones that it has.
        preferred_backbones: Backbones whose figures are shown for a backbone that the thesis does not have.
        settings: Named groups of settings.
        groups: Named groups of measures.
        sets: The experiment sets.
    """

    datasets: dict[str, str]
    backbones: dict[str, str]
    preferred_backbones: Names
    settings: dict[str, dict[str, Any]]
    groups: dict[str, Group]
    sets: dict[str, ExperimentSet]

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        for name, chosen in self.sets.items():
            shown = [group for table in chosen.tables for group in table.groups]
            shown += [row.shows for row in chosen.rows if row.shows]
            for group in shown:
                if group not in self.groups:
                    raise ValueError(f"sets.{name}: group {group}: {unknown_name(group, self.groups)}")
            for base in chosen.base:
                if base not in self.settings:
                    raise ValueError(f"sets.{name}: base {base}: {unknown_name(base, self.settings)}")
            if len({row.name for row in chosen.rows}) < len(chosen.rows):
                raise ValueError(f"sets.{name}: rows: none may have the name of another")
        return self

    def set_named(self, name: str) -> ExperimentSet:
        """One set.

        Raises:
            UserError: There is none of this name.
        """
        if name not in self.sets:
            raise UserError(f"ablation {name}: {unknown_name(name, self.sets)}")
        return self.sets[name]

    def row_settings(self, name: str) -> list[dict[str, Any]]:
        """Settings of each row of a set, with those that it starts from; ``{times: x}`` is left as it is."""
        chosen = self.set_named(name)
        start: dict[str, Any] = {}
        for base in chosen.base:
            start |= self.settings[base]
        found, before = [], start
        for row in chosen.rows:
            own = dict(before) if chosen.cumulative else dict(start)
            for key in list(own) if row.restore == "all" else row.restore:
                own.pop(key, None)
            before = own | row.settings
            found.append(before)
        return found


def scaled(settings: Mapping[str, Any], current: Mapping[str, Any]) -> dict[str, Any]:
    """Replace each ``{times: x}`` by that many times the current value.

    Args:
        settings: Values by dotted key.
        current: What is set without them, by dotted key.

    Returns:
        Plain values; a whole number stays one (rounded), and null stays null.

    Raises:
        UserError: There is nothing to multiply.
    """
    plain: dict[str, Any] = {}
    for key, value in settings.items():
        if not isinstance(value, dict):
            plain[key] = value
            continue
        if set(value) != {"times"} or not isinstance(value["times"], int | float):
            raise UserError(f"{key} = {value}: allowed: a value, or times: a number")
        old = current.get(key)
        if old is not None and (isinstance(old, bool) or not isinstance(old, int | float)):
            raise UserError(f"{key} = {old!r}: cannot be multiplied by {value['times']}")
        product = None if old is None else old * value["times"]
        plain[key] = round(product) if isinstance(old, int) and product is not None else product
    return plain


def load_definitions(path: Path = DEFINITIONS) -> Definitions:
    """Read the experiment sets.

    Raises:
        MissingFileError: The file is absent.
        UserError: A key is unknown or a name in it is; the message names it.
    """
    return load_validated(path, Definitions)
