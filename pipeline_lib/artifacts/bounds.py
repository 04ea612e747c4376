"""Clusters of the rivals on the evaluation split: ``val.parquet`` with ``id`` int64 and one int32 column a method."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline_lib.artifacts.folder import new_folder, write_meta
from pipeline_lib.base.errors import UserError

KIND = "bounds"
SCHEMA = 1
_DIGITS = 4


def write_bounds(
    folder: Path,
    *,
    split: str,
    ids: NDArray[np.int64],
    labels: Mapping[str, NDArray[np.int32]],
    classes: int,
    turtle_scores: Mapping[str, float],
    made_by: Mapping[str, Any],
) -> None:
    """Write the artifact.

    Args:
        folder: Target folder.
        split: Name of the split.
        ids: Image ids, (m,).
        labels: Clusters of each method, (m,).
        classes: Number of classes k.
        turtle_scores: Generalisation score of each variant of TURTLE that was tried; empty where none was.
        made_by: Stage, parameters and seed.

    Raises:
        UserError: A column is of another length, or a cluster is not 0 to k - 1.
    """
    for method, values in labels.items():
        if values.shape != ids.shape:
            raise UserError(f"bounds of {split}: expected {len(ids)} clusters of {method}, found {values.shape}")
        if len(values) and not (values.min() >= 0 and values.max() < classes):
            raise UserError(f"bounds of {split}: {method} has {values.min()} to {values.max()}, k = {classes}")
    with new_folder(folder) as temporary:
        schema = pa.schema([("id", pa.int64()), *((method, pa.int32()) for method in labels)])
        columns = [
            pa.array(values, type=kind) for values, kind in zip((ids, *labels.values()), schema.types, strict=True)
        ]
        pq.write_table(pa.table(columns, schema=schema), temporary / f"{split}.parquet", compression="zstd")
        fields: dict[str, Any] = {"classes": classes, "split": split, "methods": list(labels), "images": len(ids)}
        fields["turtle_scores"] = {name: round(score, _DIGITS) for name, score in turtle_scores.items()}
        write_meta(temporary, KIND, SCHEMA, made_by, fields)
