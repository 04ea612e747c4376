"""Neighbour lists of all images as compressed sparse rows: written block by block, read memory-mapped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from pipeline_lib.artifacts.folder import new_folder, open_array, read_meta, write_meta
from pipeline_lib.base.errors import UserError

KIND = "neighbors"
SCHEMA = 1


class NeighborBlock(NamedTuple):
    """Lists of consecutive images.

    Attributes:
        first: Row of the first image.
        lengths: Length of each list, (b,) int64.
        indices: Rows of the neighbours, lists one after the other, (nnz,).
        similarity: Their similarity, (nnz,) float16.
    """

    first: int
    lengths: NDArray[np.int64]
    indices: NDArray[Any]
    similarity: NDArray[np.float16]


@dataclass(frozen=True)
class Neighbors:
    """An opened neighbours artifact.

    An image is never in its own list, no list is empty, and each is sorted by similarity, the nearest first; equally
    near ones by their row.

    Attributes:
        folder: Its folder.
        settings: ``threshold``, ``k_min``, ``k_max`` and the other settings of the search, by name.
        indptr: Where each list starts in ``indices``, and the end of the last, (n + 1,) int64.
        indices: Rows of the neighbours, (nnz,) int32 or int64, memory-mapped.
        similarity: Their cosine similarity, (nnz,) float16, memory-mapped.
    """

    folder: Path
    settings: dict[str, Any]
    indptr: NDArray[np.int64]
    indices: NDArray[Any]
    similarity: NDArray[np.float16]

    @property
    def count(self) -> int:
        """Number of images n."""
        return len(self.indptr) - 1

    def lengths(self) -> NDArray[np.int64]:
        """Length of every list, (n,) int64."""
        return np.diff(self.indptr)

    def of(self, image: int) -> tuple[NDArray[np.int64], NDArray[np.float16]]:
        """Rows of one image's neighbours and their similarity, (length,) each."""
        span = slice(int(self.indptr[image]), int(self.indptr[image + 1]))
        return np.array(self.indices[span], dtype=np.int64), np.array(self.similarity[span])

    def blocks(self, entries: int = 1 << 22) -> Iterator[NeighborBlock]:
        """All lists, in blocks of about ``entries`` neighbours (always at least one list)."""
        first = 0
        while first < self.count:
            reach = int(np.searchsorted(self.indptr, self.indptr[first] + entries, side="right")) - 1
            last = min(self.count, max(first + 1, reach))
            span = slice(int(self.indptr[first]), int(self.indptr[last]))
            lengths = np.diff(self.indptr[first : last + 1])
            yield NeighborBlock(first, lengths, np.asarray(self.indices[span]), np.asarray(self.similarity[span]))
            first = last

    def draw(self, rows: NDArray[np.int64], uniforms: NDArray[np.float64]) -> NDArray[np.int64]:
        """Pick neighbours at random: without repeats while the list lasts, each entry equally likely in each column.

        Args:
            rows: Images, (B,).
            uniforms: Uniform numbers in [0, 1), (B, M).

        Returns:
            Rows of the neighbours, (B, M).
        """
        starts = np.asarray(self.indptr[rows])
        lengths = np.asarray(self.indptr[rows + 1]) - starts  # (B,)
        picks = distinct_picks(lengths, uniforms)
        return np.asarray(self.indices[starts[:, None] + picks], dtype=np.int64)


def _index_type(count: int) -> np.dtype[Any]:
    return np.dtype(np.int32 if count < 2**31 else np.int64)


def entry_bytes(count: int) -> int:
    """Bytes that one neighbour takes among ``count`` images."""
    return _index_type(count).itemsize + np.dtype(np.float16).itemsize


def distinct_picks(lengths: NDArray[np.int64], uniforms: NDArray[np.float64]) -> NDArray[np.int64]:
    """Entries of lists picked by uniform numbers, without repeats while a list lasts.

    Column j picks the ``floor(u * remaining)``-th of the entries that columns 0 to j - 1 left; once a list is used
    up, later columns pick from all of it.

    Args:
        lengths: Length of each list, at least 1, (B,).
        uniforms: Uniform numbers in [0, 1), (B, M).

    Returns:
        Entry numbers, (B, M), each below its list's length.
    """
    picks = np.empty(uniforms.shape, dtype=np.int64)
    for column in range(uniforms.shape[1]):
        used_up = column >= lengths
        remaining = np.where(used_up, lengths, lengths - column)
        pick = np.minimum((uniforms[:, column] * remaining).astype(np.int64), remaining - 1)
        for earlier in np.sort(picks[:, :column], axis=1).T:
            pick += ~used_up & (pick >= earlier)
        picks[:, column] = pick
    return picks


class NeighborsWriter:
    """Appends lists to the arrays of a folder; the number of neighbours need not be known beforehand.

    Args:
        folder: Folder being written.
        count: Number of images n.
    """

    def __init__(self, folder: Path, count: int) -> None:
        self._folder = folder
        self._count = count
        self._lengths: list[NDArray[np.int64]] = []
        self._indices = _GrowingArray(folder / "indices.npy", _index_type(count))
        self._similarity = _GrowingArray(folder / "similarity.npy", np.dtype(np.float16))

    def append(self, lengths: NDArray[np.int64], indices: NDArray[Any], similarity: NDArray[Any]) -> None:
        """Append the lists of the next images.

        Args:
            lengths: Length of each list, (b,).
            indices: Rows of the neighbours, lists one after the other, (nnz,).
            similarity: Their similarity, (nnz,).

        Raises:
            ValueError: A list is empty or the sizes do not agree.
        """
        if not len(indices) == len(similarity) == lengths.sum() or (lengths < 1).any():
            raise ValueError(f"lists of {lengths.sum()} entries with {len(indices)} indices; none may be empty")
        self._lengths.append(lengths)
        self._indices.append(indices)
        self._similarity.append(similarity)

    def finish(self) -> None:
        """Complete the files.

        Raises:
            ValueError: Lists of another number of images than announced were appended.
        """
        lengths = np.concatenate([np.zeros(1, np.int64), *self._lengths])
        if len(lengths) != self._count + 1:
            raise ValueError(f"lists of {len(lengths) - 1} images, {self._count} announced")
        np.save(self._folder / "indptr.npy", np.cumsum(lengths, dtype=np.int64))

    def close(self) -> None:
        """Put the final sizes into the files and close them."""
        self._indices.close()
        self._similarity.close()


@contextmanager
def write_neighbors(
    folder: Path, count: int, settings: Mapping[str, Any], made_by: Mapping[str, Any]
) -> Iterator[NeighborsWriter]:
    """Write the artifact; it appears when the block ends without an error.

    Args:
        folder: Target folder.
        count: Number of images n.
        settings: Settings of the search: at least ``k_min`` and ``k_max``.
        made_by: Stage, parameters and seed.

    Yields:
        The writer to append lists to.
    """
    with new_folder(folder) as temporary:
        writer = NeighborsWriter(temporary, count)
        try:
            yield writer
            writer.finish()
        finally:
            writer.close()
        write_meta(temporary, KIND, SCHEMA, made_by, {"settings": dict(settings)})


def open_neighbors(folder: Path) -> Neighbors:
    """Open the artifact.

    Raises:
        MissingFileError: There is none in ``folder``.
        UserError: It is another artifact, of another version or cut short, or its arrays do not fit each other.
    """
    meta = read_meta(folder, KIND, SCHEMA)
    indptr = np.asarray(open_array(folder, "indptr.npy", ["int64"], (None,), mmap=False))
    if len(indptr) < 2 or indptr[0] != 0 or (np.diff(indptr) < 1).any():
        raise UserError(f"{folder / 'indptr.npy'}: expected 0 and then rising starts of lists; run the stage again")
    entries = int(indptr[-1])
    indices = open_array(folder, "indices.npy", ["int32", "int64"], (entries,))
    similarity = open_array(folder, "similarity.npy", ["float16"], (entries,))
    return Neighbors(folder, meta["settings"], indptr, indices, similarity)


class _GrowingArray:
    """A one-dimensional ``.npy`` file whose length is known only in the end.

    NumPy pads the header so that a longer first axis fits in place.
    """

    def __init__(self, path: Path, dtype: np.dtype[Any]) -> None:
        self._stream: IO[bytes] = path.open("wb")
        self._dtype = dtype
        self._length = 0
        self._write_header()
        self._start = self._stream.tell()

    def append(self, values: NDArray[Any]) -> None:
        self._stream.write(np.ascontiguousarray(values, dtype=self._dtype).data)
        self._length += len(values)

    def close(self) -> None:
        self._stream.seek(0)
        self._write_header()
        if self._stream.tell() != self._start:
            raise RuntimeError("the header of a .npy file grew; this NumPy does not pad it")
        self._stream.close()

    def _write_header(self) -> None:
        header = {"descr": npy.dtype_to_descr(self._dtype), "fortran_order": False, "shape": (self._length,)}
        npy.write_array_header_1_0(self._stream, header)
