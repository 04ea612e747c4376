"""Writes the features artifact: by several processes, and going on where an interrupted run stopped."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline_lib.artifacts.features import KIND, SCHEMA, STORAGE
from pipeline_lib.artifacts.folder import new_folder, write_meta
from pipeline_lib.artifacts.unfinished import Unfinished
from pipeline_lib.base.errors import UserError


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
        unfinished: Unfinished | None = None,
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
            unfinished: Keeps what is written until all is, so that an interrupted run goes on; by default nothing does.

        Raises:
            UserError: ``storage`` is another type.
        """
        if storage not in STORAGE:
            raise UserError(f"extract.storage = {storage}: allowed are {', '.join(STORAGE)}")
        self.splits = dict(splits)
        self._folder = folder
        self._unfinished = unfinished
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
            # The others wait here until the files are there.
            written = Path(broadcast(str(self._place(temporary)) if temporary is not None else ""))
            self._arrays = {split: np.load(written / f"{split}.npy", mmap_mode="r+") for split in self.splits}
            yield
            self._flush()
            self._arrays = {}
            barrier()
            if temporary is not None:
                for split in self.splits:
                    _take(written / f"{split}.npy", temporary / f"{split}.npy")
                write_meta(temporary, KIND, SCHEMA, self._made_by, self._fields)
        if rank == 0 and self._unfinished is not None:
            self._unfinished.discard()
        # Nobody goes on before the folder has its final name.
        barrier()

    def done(self, split: str) -> int:
        """Rows of this process' share of a split that an interrupted run has written."""
        return 0 if self._unfinished is None else self._unfinished.done(split)

    def keep(self, split: str, rows: int, *, at_once: bool = False) -> None:
        """Keep what is written, if the last time is long enough ago.

        Args:
            split: The split that is being written.
            rows: Rows of this process' share that are written.
            at_once: Whether to keep it whenever the last time was.
        """
        if self._unfinished is not None and (at_once or self._unfinished.due()):
            self._flush()
            self._unfinished.keep(split, rows)

    def _flush(self) -> None:
        for array in self._arrays.values():
            array.flush()  # type: ignore[attr-defined]

    def _place(self, temporary: Path) -> Path:
        """Folder of the arrays while they are written; makes them where an interrupted run left none."""
        if self._unfinished is None:
            self._create(temporary)
            return temporary
        if not self._unfinished.found:
            self._create(self._unfinished.new())
        return self._unfinished.folder

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


def _take(written: Path, target: Path) -> None:
    """Give a file a second name, or copy it to another file system: an interruption now must not lose it."""
    if written == target:
        return
    try:
        os.link(written, target)
    except OSError:
        shutil.copyfile(written, target)
