"""Presets: named sets of ``params.yaml`` values, each of which may extend another (``conf/presets.yaml``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from pipeline_lib.base.errors import UserError
from pipeline_lib.base.settings import Settings
from pipeline_lib.base.yaml_files import first_complaint, read_yaml, unknown_name

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
    presets = {}
    for name, body in raw.items():
        try:
            presets[str(name)] = Preset.model_validate(body)
        except ValidationError as error:
            raise UserError(f"{path}: {name}.{first_complaint(error)}") from None
    return Presets(presets)
