"""Metrics of a run as other stages wrote them: flat JSON objects."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline_lib.artifacts.folder import read_json_object
from pipeline_lib.base.errors import MissingFileError


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
    metrics: dict[str, Any] = {}
    for name in (*needed, *optional):
        path = folder / f"{name}.json"
        if not path.is_file():
            if name in needed:
                raise MissingFileError(f"{path}: not found; run the stage that writes it (dvc repro)")
            continue
        metrics |= read_json_object(path)
    return metrics
