"""Assignments of every head for every image of a split; probabilities of the best head, of all, their mean, or none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline_lib.artifacts.folder import new_folder, open_array, read_meta, write_meta
from pipeline_lib.base.errors import UserError

KIND = "assignments"
SCHEMA = 1

NONE = "none"

Block = tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32] | None]
"""For consecutive rows ids (b,), assignments (H, b) and probabilities (b, K) of the best head or the mean of all,
(H, b, K) of all, or ``None``."""


def head_columns(heads: int) -> list[str]:
    """Column names of the heads, in order."""
    return [f"head_{head:02d}" for head in range(heads)]


@dataclass(frozen=True)
class Assignments:
    """An opened assignments artifact.

    Attributes:
        folder: Its folder.
        heads: Number of heads H.
        classes: Number of classes K.
        best_head: Head with the lowest training loss.
        splits: Images of each split.
        probabilities: ``best``, ``all``, ``mean`` or ``none``.
    """

    folder: Path
    heads: int
    classes: int
    best_head: int
    splits: dict[str, int]
    probabilities: str

    def ids(self, split: str) -> NDArray[np.int64]:
        """Image ids, (n,)."""
        column = pq.read_table(self.folder / f"{split}.parquet", columns=["id"]).column("id")
        return np.asarray(column.to_numpy(), dtype=np.int64)

    def labels(self, split: str) -> NDArray[np.int32]:
        """Assignments of all heads, (H, n) int32, read one head at a time."""
        table = pq.ParquetFile(self.folder / f"{split}.parquet")
        result = np.empty((self.heads, self.splits[split]), dtype=np.int32)
        for head, column in enumerate(head_columns(self.heads)):
            result[head] = table.read(columns=[column]).column(0).to_numpy()
        return result

    def probability(self, split: str) -> NDArray[np.float16]:
        """Probabilities, memory-mapped float16: (n, K) of the best head or mean of all, or (n, H, K) of all.

        Raises:
            UserError: None are stored.
        """
        if self.probabilities == NONE:
            raise UserError(f"{self.folder}: no probabilities; assign.probabilities = none: allowed: best, all, mean")
        shape = [self.splits[split], self.classes]
        if self.probabilities == "all":
            shape.insert(1, self.heads)
        return open_array(self.folder, f"{split}_probability.npy", ["float16"], shape)


def _write_split(
    folder: Path, split: str, count: int, heads: int, shape: Sequence[int] | None, blocks: Iterable[Block]
) -> None:
    names = head_columns(heads)
    schema = pa.schema([("id", pa.int64()), *((name, pa.int32()) for name in names)])
    probability = None
    if shape is not None:
        path = folder / f"{split}_probability.npy"
        probability = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=(count, *shape))
    start = 0
    with pq.ParquetWriter(folder / f"{split}.parquet", schema, compression="zstd") as writer:
        for ids, labels, values in blocks:
            columns = [pa.array(ids), *(pa.array(labels[head], pa.int32()) for head in range(heads))]
            writer.write_table(pa.table(columns, schema=schema))
            stop = start + len(ids)
            if (probability is None) != (values is None):
                raise ValueError(f"{split}: probabilities {'where none are' if probability is None else 'missing'}")
            if probability is not None and values is not None:
                probability[start:stop] = values if values.ndim == 2 else values.transpose(1, 0, 2)
            start = stop
    if start != count:
        raise ValueError(f"{split}: the blocks hold {start} rows, expected {count}")
    if probability is not None:
        probability.flush()


def write_assignments(
    folder: Path,
    *,
    splits: Mapping[str, tuple[int, Iterable[Block]]],
    heads: int,
    classes: int,
    best_head: int,
    probabilities: str,
    made_by: Mapping[str, Any],
) -> None:
    """Write the artifact, one block of rows at a time.

    Args:
        folder: Target folder.
        splits: For each split its number of images and blocks of consecutive rows.
        heads: Number of heads.
        classes: Number of classes.
        best_head: Head with the lowest training loss.
        probabilities: ``best``, ``all``, ``mean`` or ``none``: which probabilities the blocks carry.
        made_by: Stage, parameters and seed.

    Raises:
        ValueError: The blocks of a split do not make up its number of images, or lack probabilities.
    """
    shape = None if probabilities == NONE else [heads, classes] if probabilities == "all" else [classes]
    with new_folder(folder) as temporary:
        for split, (count, blocks) in splits.items():
            _write_split(temporary, split, count, heads, shape, blocks)
        fields = {
            "heads": heads,
            "classes": classes,
            "best_head": best_head,
            "probabilities": probabilities,
            "splits": {split: count for split, (count, _) in splits.items()},
        }
        write_meta(temporary, KIND, SCHEMA, made_by, fields)


def open_assignments(folder: Path) -> Assignments:
    """Open the artifact.

    Raises:
        MissingFileError: There is none in ``folder``.
        UserError: It is another artifact, of another version, or cut short.
    """
    meta = read_meta(folder, KIND, SCHEMA)
    return Assignments(folder, meta["heads"], meta["classes"], meta["best_head"], meta["splits"], meta["probabilities"])
