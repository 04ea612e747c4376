"""Presets: named sets of ``params.yaml`` values, each of which may extend another (``conf/presets.yaml``)."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline_lib.errors import MissingFileError, UserError
from pipeline_lib.settings import Settings

PRESETS = Path("conf/presets.yaml")


class Preset(Settings):
    """One preset.

    Attributes:
        describe: One line for the list of presets.
        extends: Preset whose settings come first.
        settings: Values by dotted key of ``params.yaml``.
    """

    describe: str
    extends: str | None = None
    settings: dict[str, Any] = Field(default_factory=dict)


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
            for link in reversed(self._chain(name)):
                settings |= self.by_name[link].settings
        return settings

    def _chain(self, name: str) -> list[str]:
        """The preset and those that it extends, outermost last."""
        chain: list[str] = []
        current: str | None = name
        while current is not None:
            if current not in self.by_name:
                where = "preset" if not chain else f"preset {chain[-1]}: extends"
                raise UserError(f"{where} {current}: {unknown_name(current, self.by_name)}")
            if current in chain:
                raise UserError(f"preset {name}: {' extends '.join([*chain, current])}: a circle")
            chain.append(current)
            current = self.by_name[current].extends
        return chain


def unknown_name(name: str, known: Iterable[str]) -> str:
    """What to say of a name that is not there: the closest known one, then all."""
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1)
    return f"unknown; {f'did you mean {close[0]}? ' if close else ''}allowed: {', '.join(names)}"


def read_yaml(path: Path) -> Any:
    """Content of a YAML 1.2 file.

    Raises:
        MissingFileError: The file is absent.
        UserError: It is no YAML.
    """
    if not path.is_file():
        raise MissingFileError(f"{path}: not found; run from the root of the repository")
    try:
        return YAML(typ="safe", pure=True).load(path.read_text())
    except YAMLError as error:
        raise UserError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None


def first_complaint(error: ValidationError) -> str:
    """The first thing that pydantic complains of, in one line: key, value and what is allowed."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    value = "" if isinstance(first["input"], dict) else f" = {first['input']!r}"
    return f"{key}{value}: {first['msg']}"


def load_presets(path: Path = PRESETS) -> Presets:
    """Read the presets.

    Args:
        path: A YAML file of presets by name.

    Returns:
        The presets; whether their settings fit ``params.yaml`` is checked when it is loaded with them.

    Raises:
        MissingFileError: The file is absent.
        UserError: It is no mapping of presets.
    """
    raw = read_yaml(path)
    if not isinstance(raw, dict):
        raise UserError(f"{path}: expected presets by name, found {type(raw).__name__}")
    try:
        return Presets({str(name): Preset.model_validate(body) for name, body in raw.items()})
    except ValidationError as error:
        raise UserError(f"{path}: {first_complaint(error)}") from None
