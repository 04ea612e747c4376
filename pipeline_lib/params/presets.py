"""Presets: named sets of ``params.yaml`` values, each of which may extend others (``conf/presets.yaml``).

A preset that is named after a paper says of every key of the sections that it ``decides`` either a value or why it
needs none, so that a default of this project never stands in for what a paper says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, field_validator

from pipeline_lib.base.errors import UserError
from pipeline_lib.base.settings import Settings
from pipeline_lib.base.yaml_files import first_complaint, read_yaml, unknown_name
from pipeline_lib.params.explanations import key_names
from pipeline_lib.params.params import Params

PRESETS = Path("conf/presets.yaml")
NamesOrNone = Annotated[tuple[str, ...], Field(strict=False)]


class Preset(Settings):
    """One preset.

    Attributes:
        describe: One line for the list of presets.
        extends: Preset, or several, whose settings come first; of two that set a key the later one counts.
        stages: Stages of dvc.yaml that a run with this preset is for, with all that leads to them; empty: those of what
            it extends, or else all.
        decides: Sections of ``params.yaml`` all of whose keys this preset and those that it extends set or waive.
        settings: Values by dotted key of ``params.yaml``.
        waived: Keys that need no value here, by dotted key: the reason. A preset that extends this one may set them.
    """

    describe: str
    extends: NamesOrNone = ()
    stages: NamesOrNone = ()
    decides: NamesOrNone = ()
    settings: dict[str, Any] = Field(default_factory=dict)
    waived: dict[str, Annotated[str, Field(min_length=1)]] = Field(default_factory=dict)

    @field_validator("extends", mode="before")
    @classmethod
    def _one_name_is_a_list(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value


@dataclass(frozen=True)
class Presets:
    """All presets of a file, by name."""

    by_name: Mapping[str, Preset]

    def settings(self, names: Sequence[str]) -> dict[str, Any]:
        """Settings of one preset or of several, one after the other.

        Args:
            names: Presets; where two set the same key, the later one counts.

        Returns:
            Values by dotted key, those of an extended preset first.

        Raises:
            UserError: A name is unknown, or presets extend each other in a circle.
        """
        settings: dict[str, Any] = {}
        for name in names:
            for link in self.lineage(name):
                settings |= self.by_name[link].settings
        return settings

    def waived(self, name: str) -> dict[str, str]:
        """Keys that a preset leaves to ``params.yaml`` on purpose.

        Args:
            name: A preset.

        Returns:
            The reason by dotted key, of the preset and of those that it extends, without keys that one of them sets.

        Raises:
            UserError: The name is unknown, presets extend each other in a circle, or a key is waived that is set.
        """
        waived: dict[str, str] = {}
        settings: dict[str, Any] = {}
        for link in self.lineage(name):
            preset = self.by_name[link]
            settings |= preset.settings
            for key in preset.waived:
                if key in settings:
                    raise UserError(f"preset {link}: waived.{key}: it is set to {settings[key]!r}; one of both goes")
            waived = {key: reason for key, reason in waived.items() if key not in preset.settings} | preset.waived
        return waived

    def decides(self, name: str) -> tuple[str, ...]:
        """Sections all of whose keys a preset sets or waives, with those that it extends, outermost first."""
        return tuple(dict.fromkeys(section for link in self.lineage(name) for section in self.by_name[link].decides))

    def undecided(self, name: str) -> list[str]:
        """Keys that a preset owes a value or a reason.

        Args:
            name: A preset.

        Returns:
            Dotted keys of the sections that it :meth:`decides`, in the order of ``Params``.
        """
        sections = self.decides(name)
        decided = {*self.settings([name]), *self.waived(name)}
        return [key for key in key_names(Params) if key.split(".")[0] in sections and key not in decided]

    def stages(self, names: Sequence[str]) -> list[str]:
        """Stages that a run with some presets is for.

        Args:
            names: Presets.

        Returns:
            Those of all presets that name any, each once; none where no preset does: all stages.
        """
        found: dict[str, None] = {}
        for name in names:
            named = [self.by_name[link].stages for link in self.lineage(name) if self.by_name[link].stages]
            found |= dict.fromkeys(named[-1] if named else ())
        return list(found)

    def lineage(self, name: str, above: tuple[str, ...] = ()) -> list[str]:
        """The preset after those that it extends, each once and as early as one of them needs it.

        Args:
            name: A preset.
            above: Those that led to it, for the message of a circle.

        Raises:
            UserError: A name is unknown, or presets extend each other in a circle.
        """
        if name not in self.by_name:
            where = "preset" if not above else f"preset {above[-1]}: extends"
            raise UserError(f"{where} {name}: {unknown_name(name, self.by_name)}")
        if name in above:
            raise UserError(f"preset {above[0]}: {' extends '.join([*above, name])}: a circle")
        found: dict[str, None] = {}
        for parent in self.by_name[name].extends:
            found |= dict.fromkeys(self.lineage(parent, (*above, name)))
        return [*found, name]


def load_presets(path: Path = PRESETS) -> Presets:
    """Read the presets.

    Args:
        path: A YAML file of presets by name.

    Returns:
        The presets; whether their settings fit ``params.yaml`` is checked when it is loaded with them.

    Raises:
        MissingFileError: The file is absent.
        UserError: It is no mapping of presets, or a preset decides a section or waives a key that is not there, or
            waives one that is set.
    """
    raw = read_yaml(path)
    if not isinstance(raw, dict):
        raise UserError(f"{path}: expected presets by name, found {type(raw).__name__}")
    presets = {}
    for name, body in raw.items():
        try:
            presets[str(name)] = Preset.model_validate(body)
        except ValidationError as error:
            raise UserError(f"{path}: {name}.{first_complaint(error)}") from None
    for name, preset in presets.items():
        _check_names(f"{path}: {name}", preset)
    found = Presets(presets)
    for name, preset in presets.items():
        if preset.waived:
            found.waived(name)
    return found


def _check_names(where: str, preset: Preset) -> None:
    keys = list(key_names(Params))
    sections = list(dict.fromkeys(key.split(".")[0] for key in keys))
    for section in preset.decides:
        if section not in sections:
            raise UserError(f"{where}.decides: {section}: {unknown_name(section, sections)}")
    for key in preset.waived:
        if key not in keys:
            close = [known for known in keys if known.startswith(f"{key.rpartition('.')[0]}.")] or keys
            raise UserError(f"{where}.waived: {key}: {unknown_name(key, close)}")
