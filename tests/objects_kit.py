"""Writes an objects artifact whose rows are all at hand, for tests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline_lib.artifacts.objects import ObjectsWriter


def write_objects(
    folder: Path,
    objects: Iterable[Mapping[str, Any]],
    segmentation: Iterable[Mapping[str, Any]],
    class_names: Sequence[str],
    made_by: Mapping[str, Any],
) -> None:
    """Write the artifact.

    Args:
        folder: Folder of the artifact.
        objects: Rows of ``objects.parquet``, columns as the module says.
        segmentation: Rows of ``segmentation.parquet``.
        class_names: Names by label.
        made_by: Stage, settings and seed.
    """
    with ObjectsWriter(folder, class_names, made_by) as writer:
        for row in objects:
            writer.add_object(row)
        for row in segmentation:
            writer.add_segmentation(row)
