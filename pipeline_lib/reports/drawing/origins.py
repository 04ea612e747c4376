"""Settings and versions of a run, from what its artifacts record of themselves."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class StageSettings:
    """Settings that decided an artifact: the stage that made it, and its settings by dotted name, as text."""

    stage: str
    settings: tuple[tuple[str, str], ...]


def stage_settings(origins: Mapping[str, Mapping[str, Any]]) -> list[StageSettings]:
    """Settings of every stage.

    Args:
        origins: ``made_by`` of each artifact by its kind.
    """
    return [
        StageSettings(str(origin.get("stage", kind)), tuple(_flattened(origin.get("settings", {}))))
        for kind, origin in origins.items()
    ]


def package_versions(origins: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Packages and their versions by name; several where artifacts were made with different ones.

    Args:
        origins: ``made_by`` of each artifact by its kind.
    """
    versions: dict[str, set[str]] = {}
    for origin in origins.values():
        for name, version in origin.get("packages", {}).items():
            versions.setdefault(name, set()).add(version)
    return [(name, ", ".join(sorted(found))) for name, found in sorted(versions.items())]


def _flattened(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flattened(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
