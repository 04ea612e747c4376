"""Rows and tables of an experiment set, and what they are run under."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from pipeline_lib.base.registry import OneOf
from pipeline_lib.base.settings import Settings
from pipeline_lib.base.yaml_files import unknown_name
from pipeline_lib.experiments.measures import MEASURES, METHODS

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
