"""The features artifact: one memory-mapped ``{split}.npy`` (n, d) a split, its columns divided into named blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline_lib.artifacts.folder import new_folder, open_array, read_meta, write_meta
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


class FeaturesWriter:
    """Writes the artifact; several processes on one file system may each write their own rows.

    Attributes:
        splits: Number of rows of each split.
    """

    def __init__(
        self,
        folder: Path,
        *,
        splits: Mapping[str, int],
        blocks: Mapping[str, tuple[int, int]],
        default_blocks: Sequence[str],
        storage: str,
        backbone: Mapping[str, Any],
        dataset_digest: str,
        made_by: Mapping[str, Any],
    ) -> None:
        """Describe the artifact; nothing is written yet.

        Args:
            folder: Target folder.
            splits: Number of rows of each split.
            blocks: First column and column after the last one of each block, in column order, without gaps.
            default_blocks: Blocks to use when a stage does not say.
            storage: ``float16`` or ``float32``.
            backbone: What is needed to extract features of new images; JSON values.
            dataset_digest: Blake2b digest of the dataset artifact's ``images.parquet``.
            made_by: Stage, parameters and seed.

        Raises:
            UserError: ``storage`` is another type.
        """
        if storage not in STORAGE:
            raise UserError(f"extract.storage = {storage}: allowed are {', '.join(STORAGE)}")
        self.splits = dict(splits)
        self._folder = folder
        self._blocks = {name: (int(start), int(stop)) for name, (start, stop) in blocks.items()}
        self._dtype = np.dtype(storage)
        self._made_by = dict(made_by)
        self._fields = {
            "splits": self.splits,
            "blocks": {name: list(columns) for name, columns in self._blocks.items()},
            "default_blocks": list(default_blocks),
            "storage": storage,
            "backbone": dict(backbone),
            "dataset_digest": dataset_digest,
        }
        self._arrays: dict[str, NDArray[Any]] = {}

    @contextmanager
    def opened(
        self,
        rank: int = 0,
        broadcast: Callable[[str], str] = lambda value: value,
        barrier: Callable[[], object] = lambda: None,
    ) -> Iterator[None]:
        """Open for writing; when the block ends without an error in any process, the artifact takes its place.

        Args:
            rank: Number of this process; process 0 creates the files and describes them at the end.
            broadcast: Gives process 0's argument to all processes.
            barrier: Waits for all processes.
        """
        with ExitStack() as stack:
            temporary = stack.enter_context(new_folder(self._folder)) if rank == 0 else None
            if temporary is not None:
                self._create(temporary)
            # The others wait here until the files are there.
            shared = Path(broadcast(str(temporary)))
            self._arrays = {split: np.load(shared / f"{split}.npy", mmap_mode="r+") for split in self.splits}
            yield
            for array in self._arrays.values():
                array.flush()  # type: ignore[attr-defined]
            self._arrays = {}
            barrier()
            if temporary is not None:
                write_meta(temporary, KIND, SCHEMA, self._made_by, self._fields)
        # Nobody goes on before the folder has its final name.
        barrier()

    def write(self, split: str, rows: NDArray[np.integer[Any]], features: NDArray[np.floating[Any]]) -> None:
        """Write features of some rows of a split.

        Args:
            split: One of ``splits``.
            rows: Row numbers (b,).
            features: (b, d).

        Raises:
            UserError: A value is not finite, or too large for the storage type.
        """
        with np.errstate(over="ignore"):
            stored = np.asarray(features).astype(self._dtype)
        finite = np.isfinite(stored).all(axis=1)
        if not finite.all():
            self._refuse(split, int(rows[np.argmin(finite)]), np.asarray(features)[np.argmin(finite)])
        self._arrays[split][rows] = stored

    def _create(self, temporary: Path) -> None:
        columns = max(stop for _, stop in self._blocks.values())
        for split, count in self.splits.items():
            path = temporary / f"{split}.npy"
            array = np.lib.format.open_memmap(path, mode="w+", dtype=self._dtype, shape=(count, columns))
            array.flush()

    def _refuse(self, split: str, row: int, values: NDArray[np.floating[Any]]) -> None:
        if np.isfinite(values).all():
            largest = float(np.abs(values).max())
            raise UserError(
                f"extract.storage = {self._dtype}: features of {split} image row {row} reach {largest:.4g}, "
                f"the limit is {np.finfo(self._dtype).max:.4g}; use float32"
            )
        columns = np.flatnonzero(~np.isfinite(values))
        blocks = [name for name, (start, stop) in self._blocks.items() if ((start <= columns) & (columns < stop)).any()]
        raise UserError(f"features of {split} image row {row} are not finite (block {', '.join(blocks)})")
