"""Where an artifact of any kind comes from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipeline_lib.artifacts.folder import META
from pipeline_lib.base.errors import MissingFileError, UserError


def read_origin(folder: Path) -> dict[str, Any]:
    """What ``meta.json`` records of the origin: ``stage``, ``settings``, ``packages`` and more.

    Args:
        folder: Folder of an artifact.

    Raises:
        MissingFileError: There is no artifact in ``folder``.
        UserError: Its ``meta.json`` is damaged.
    """
    path = folder / META
    if not path.is_file():
        raise MissingFileError(f"{path}: no artifact here; run the stage that writes it (dvc repro)")
    try:
        made_by = json.loads(path.read_text())["made_by"]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: expected an object with made_by ({error}); run the stage again") from None
    if not isinstance(made_by, dict):
        raise UserError(f"{path}: expected an object as made_by, found {type(made_by).__name__}; run the stage again")
    return made_by
