"""Metrics of a run as other stages wrote them: flat JSON objects."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline_lib.base.errors import MissingFileError, UserError


def read_metrics(folder: Path, needed: Sequence[str], optional: Sequence[str] = ()) -> dict[str, Any]:
    """Read metrics files into one mapping; of equal names the later file's value stands.

    Args:
        folder: Folder of the run's metrics.
        needed: Names of files, without ``.json``, that must be there.
        optional: Names of files that are read where they exist.

    Raises:
        MissingFileError: A needed file is absent.
        UserError: A file holds no JSON object.
    """
    figures: dict[str, Any] = {}
    for name in (*needed, *optional):
        path = folder / f"{name}.json"
        if not path.is_file():
            if name in needed:
                raise MissingFileError(f"{path}: not found; run the stage that writes it (dvc repro)")
            continue
        try:
            values = json.loads(path.read_text())
        except ValueError as error:
            raise UserError(f"{path}: not valid JSON ({error}); run the stage again") from None
        if not isinstance(values, dict):
            raise UserError(f"{path}: expected a JSON object, found {type(values).__name__}; run the stage again")
        figures |= values
    return figures
