"""The features artifact: one memory-mapped ``{split}.npy`` (n, d) a split, its columns divided into named blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline_lib.artifacts.folder import open_array, read_meta
from pipeline_lib.base.errors import UserError

KIND = "features"
SCHEMA = 1
STORAGE = ("float16", "float32")

Rows = slice | NDArray[np.integer[Any]]


@dataclass(frozen=True)
class FeatureView:
    """Chosen blocks of one split's features.

    Attributes:
        array: All columns, memory-mapped, (n, d).
        ranges: Column ranges of the array in the order asked for; neighbouring ones are merged.
        columns: First column and column after the last one of each chosen block, within the rows that are read.
    """

    array: NDArray[Any]
    ranges: tuple[tuple[int, int], ...]
    columns: Mapping[str, tuple[int, int]]

    @property
    def count(self) -> int:
        """Number of rows, n."""
        return int(self.array.shape[0])

    @property
    def dimension(self) -> int:
        """Number of columns of the chosen blocks, d'."""
        return sum(stop - start for start, stop in self.ranges)

    def rows(self, indices: Rows) -> NDArray[np.float32]:
        """Read rows; only these are touched.

        Args:
            indices: Row numbers (b,), any order, repeats allowed; or a slice.

        Returns:
            Float32 (b, d').
        """
        parts = [np.asarray(self.array[indices, start:stop]) for start, stop in self.ranges]
        if len(parts) == 1:
            return np.array(parts[0], dtype=np.float32)
        return np.concatenate(parts, axis=1, dtype=np.float32)


class Features:
    """An opened features artifact.

    Attributes:
        folder: Its folder.
        splits: Number of rows of each split.
        blocks: First column and column after the last one of each block, in column order.
        default_blocks: Blocks to use when a stage does not say.
        backbone: What is needed to extract features of new images.
        dataset_digest: Blake2b digest of the dataset artifact's ``images.parquet``.
    """

    def __init__(self, folder: Path, meta: Mapping[str, Any]) -> None:
        self.folder = folder
        self.splits: dict[str, int] = dict(meta["splits"])
        self.blocks: dict[str, tuple[int, int]] = {k: (int(v[0]), int(v[1])) for k, v in meta["blocks"].items()}
        self.default_blocks: tuple[str, ...] = tuple(meta["default_blocks"])
        self.backbone: dict[str, Any] = dict(meta["backbone"])
        self.dataset_digest: str = meta["dataset_digest"]
        columns = max(stop for _, stop in self.blocks.values())
        self._arrays = {
            split: open_array(folder, f"{split}.npy", [meta["storage"]], (count, columns))
            for split, count in self.splits.items()
        }

    def dimension(self, blocks: Sequence[str] | None = None) -> int:
        """Number of columns of ``blocks`` together; ``None`` takes the default ones."""
        return sum(stop - start for start, stop in self._columns(blocks))

    def split(self, split: str, blocks: Sequence[str] | None = None) -> FeatureView:
        """Chosen blocks of one split.

        Args:
            split: One of ``splits``.
            blocks: Names of blocks in the order of columns that is wanted; ``None`` takes the default ones.

        Returns:
            A view; nothing is read yet.

        Raises:
            UserError: There is no such split or block.
        """
        if split not in self._arrays:
            raise UserError(f"{self.folder}: no split {split!r}; it has {', '.join(self.splits)}")
        columns: dict[str, tuple[int, int]] = {}
        for name in self.default_blocks if blocks is None else blocks:
            first = sum(stop - start for start, stop in columns.values())
            columns[name] = (first, first + self.dimension([name]))
        return FeatureView(self._arrays[split], self._columns(blocks), columns)

    def _columns(self, blocks: Sequence[str] | None) -> tuple[tuple[int, int], ...]:
        merged: list[tuple[int, int]] = []
        for name in self.default_blocks if blocks is None else blocks:
            if name not in self.blocks:
                raise UserError(f"{self.folder}: no feature block {name!r}; it has {', '.join(self.blocks)}")
            start, stop = self.blocks[name]
            if merged and merged[-1][1] == start:
                start = merged.pop()[0]
            merged.append((start, stop))
        if not merged:
            raise UserError(f"{self.folder}: no feature block chosen; it has {', '.join(self.blocks)}")
        return tuple(merged)


def open_features(folder: Path) -> Features:
    """Open the artifact; its arrays are mapped, not read.

    Raises:
        MissingFileError: There is none in ``folder``.
        UserError: It is another artifact, of another version, or cut short.
    """
    return Features(folder, read_meta(folder, KIND, SCHEMA))
