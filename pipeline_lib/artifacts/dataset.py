"""The dataset artifact: one Parquet file with ids, splits and images (encoded, or the path of each).

``images.parquet`` (zstd) has the columns ``id`` int64, ``split``, ``path`` (null where the image is embedded),
``image`` (encoded bytes, null where there is a path), ``label`` int32 and ``class_name`` (null where unknown). Rows
are ordered by split (train, val, test), then by id; a row group belongs to one split.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline_lib.artifacts.folder import read_meta, repository_root
from pipeline_lib.base.errors import MissingFileError, UserError

KIND = "dataset"
SCHEMA = 1
FILE = "images.parquet"
SPLITS = ("train", "val", "test")
COLUMNS = pa.schema(
    [
        ("id", pa.int64()),
        ("split", pa.dictionary(pa.int8(), pa.string())),
        ("path", pa.string()),
        ("image", pa.binary()),
        ("label", pa.int32()),
        ("class_name", pa.string()),
    ]
)
_CACHED_BYTES = 1 << 27


@dataclass(frozen=True)
class _Groups:
    """Row groups of one split: ``first`` is the number of its first, ``offsets[k]`` the split's row where k begins."""

    first: int
    offsets: NDArray[np.int64]  # (groups + 1,)

    def of(self, row: int) -> tuple[int, int]:
        """Number within the split of the row group that holds ``row``, and the row inside it."""
        group = int(np.searchsorted(self.offsets, row, side="right")) - 1
        return group, row - int(self.offsets[group])


class Dataset:
    """A prepared data set, opened without reading it; a copy pickled to a worker process opens the file there itself.

    Attributes:
        folder: Folder of the artifact.
        splits: Number of images of each split, in the order train, val, test.
        class_names: Names by label, or None where no image has a label with a name.
        root: Folder that the paths of images are relative to, or None where images are embedded.
    """

    def __init__(self, folder: Path, meta: dict[str, Any]) -> None:
        self.folder = folder
        self.splits: dict[str, int] = dict(meta["splits"])
        names = meta["class_names"]
        self.class_names: tuple[str, ...] | None = None if names is None else tuple(names)
        self.root: Path | None = None if meta["root"] is None else _resolve_root(meta["root"])
        self._forget_file()

    def _forget_file(self) -> None:
        self._file: Any = None
        self._process = 0
        self._layout: dict[str, _Groups] = {}
        self._cache: OrderedDict[tuple[str, int], Any] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        kept = ("folder", "splits", "class_names", "root")
        return {name: value for name, value in self.__dict__.items() if name in kept}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget_file()

    def ids(self, split: str) -> NDArray[np.int64]:
        """Stable ids of the split's images in row order, int64 (n,)."""
        return np.asarray(self._column(split, "id"), dtype=np.int64)

    def oracle_labels(self, split: str) -> NDArray[np.int32] | None:
        """True labels of the split, int32 (n,), −1 where unknown; None where all are. For evaluation only."""
        labels = np.asarray(self._column(split, "label").fill_null(-1), dtype=np.int32)
        return labels if bool((labels >= 0).any()) else None

    def images(self, split: str, start: int, stop: int) -> Iterator[tuple[int, bytes | Path]]:
        """Read consecutive images, touching only the row groups that hold them.

        Args:
            split: One of ``splits``.
            start: First row of the split.
            stop: Row after the last one.

        Yields:
            Row of the split, and the image: encoded bytes, or the path of its file.

        Raises:
            UserError: There is no such split.
            MissingFileError: The root folder of the images is gone.
            IndexError: The rows are not all in the split.
        """
        self._check_rows(split, start, stop)
        if self.root is not None and not self.root.is_dir():
            raise MissingFileError(f"{self.root}: the folder with the images of {self.folder} is gone; put it back")
        row = start
        while row < stop:
            group, inside = self._groups(split).of(row)
            table = self._images_of_group(split, group)
            count = min(stop - row, table.num_rows - inside)
            paths = table.column("path").slice(inside, count).to_pylist()
            for offset, path in enumerate(paths):
                yield row + offset, self._image(table, inside + offset, path)
            row += count

    def image(self, split: str, row: int) -> bytes | Path:
        """One image: encoded bytes, or the path of its file; recently used row groups are kept in memory."""
        return next(self.images(split, row, row + 1))[1]

    def name(self, split: str, row: int) -> str:
        """What to call an image in messages and pictures: its path, or its split and id."""
        self._check_rows(split, row, row + 1)
        group, inside = self._groups(split).of(row)
        table = self._images_of_group(split, group)
        return table.column("path")[inside].as_py() or f"{split}, id {table.column('id')[inside].as_py()}"

    def _image(self, table: Any, inside: int, path: str | None) -> bytes | Path:
        if path is None:
            encoded: bytes = table.column("image")[inside].as_py()
            return encoded
        return (self.root or Path()) / path

    def _check_rows(self, split: str, start: int, stop: int) -> None:
        if split not in self.splits:
            raise UserError(f"{self.folder}: no split {split!r}; it has {', '.join(self.splits)}")
        if not 0 <= start <= stop <= self.splits[split]:
            raise IndexError(f"{self.folder}: rows {start} to {stop} of the {self.splits[split]} of {split}")

    def _open(self) -> Any:
        # After a fork the parent's handle would be shared: each process opens its own.
        if self._file is None or self._process != os.getpid():
            self._forget_file()
            self._file = pq.ParquetFile(self.folder / FILE, pre_buffer=False)
            self._process = os.getpid()
            self._layout = _layout(self._file.metadata, self.splits, self.folder / FILE)
        return self._file

    def _groups(self, split: str) -> _Groups:
        self._open()
        return self._layout[split]

    def _column(self, split: str, column: str) -> Any:
        self._check_rows(split, 0, 0)
        groups = self._groups(split)
        numbers = range(groups.first, groups.first + len(groups.offsets) - 1)
        return self._open().read_row_groups(list(numbers), columns=[column], use_threads=False).column(column)

    def _images_of_group(self, split: str, group: int) -> Any:
        file = self._open()
        table = self._cache.pop((split, group), None)
        if table is None:
            number = self._layout[split].first + group
            table = file.read_row_group(number, columns=["id", "path", "image"], use_threads=False).combine_chunks()
        self._cache[split, group] = table
        while len(self._cache) > 1 and sum(kept.nbytes for kept in self._cache.values()) > _CACHED_BYTES:
            self._cache.popitem(last=False)
        return table


def open_dataset(folder: Path) -> Dataset:
    """Open a dataset artifact; only its ``meta.json`` is read.

    Args:
        folder: The artifact's folder.

    Returns:
        The reader.

    Raises:
        MissingFileError: There is no artifact in ``folder``.
        UserError: It is not a dataset of this layout, or cut short.
    """
    return Dataset(folder, read_meta(folder, KIND, SCHEMA))


def _layout(footer: Any, splits: dict[str, int], path: Path) -> dict[str, _Groups]:
    rows = [footer.row_group(number).num_rows for number in range(footer.num_row_groups)]
    layout = {}
    first = 0
    for split, count in splits.items():
        offsets = [0]
        while offsets[-1] < count and first + len(offsets) - 1 < len(rows):
            offsets.append(offsets[-1] + rows[first + len(offsets) - 1])
        if offsets[-1] != count:
            raise UserError(f"{path}: expected {count} rows of {split}, found {offsets[-1]}; run the stage again")
        layout[split] = _Groups(first, np.asarray(offsets, dtype=np.int64))
        first += len(offsets) - 1
    return layout


def recorded_root(root: Path) -> str:
    """The form of a root folder that ``meta.json`` keeps: relative inside the workspace, else absolute.

    A temporary workspace (``dvc exp run --temp``) then writes what the main one would.
    """
    absolute = root.absolute()
    for workspace in (Path.cwd(), repository_root().absolute()):
        if absolute.is_relative_to(workspace):
            return absolute.relative_to(workspace).as_posix()
    return absolute.as_posix()


def _resolve_root(recorded: str) -> Path:
    here = Path(recorded)
    if here.is_absolute() or here.is_dir():
        return here.absolute()
    # Images that are not under version control exist in the main workspace only.
    return (repository_root() / here).absolute()
