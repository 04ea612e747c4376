"""FAISS' flat index, which compares every query with every row: the exact search on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Lock
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from pipeline_lib.base.row_blocks import row_blocks
from pipeline_lib.features.blocks import FeatureBlocks
from pipeline_lib.ucls.neighbors.block_search import IndexedBlock
from pipeline_lib.ucls.neighbors.hits import Index

_BLOCK_BYTES = 1 << 30

# FAISS compares few queries (below 128,000 values) one by one, which takes nine times as long as a product and rounds
# otherwise: queries that are searched again must get the similarity they had.
faiss.cvar.distance_compute_blas_threshold = 0


def flat_index(vectors: NDArray[np.float32]) -> Index:
    """A FAISS index by inner product that holds a copy of the vectors (b, d) on the CPU."""
    index: Any = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    held: Index = index
    return held


class FlatBlocks:
    """All rows in flat indexes: held where they fit the memory, else read and indexed again on every walk.

    Args:
        space: Vectors of length one (or zeros).
        budget: Bytes up to which all rows are held as float32.
        block_rows: Rows of an index; None: as many as make 1 GiB, or a quarter of ``budget`` where they are not held.
        make_index: Builds the index of a block.
    """

    def __init__(
        self,
        space: FeatureBlocks,
        budget: int,
        block_rows: int | None = None,
        make_index: Callable[[NDArray[np.float32]], Index] = flat_index,
    ) -> None:
        self._space = space
        row_bytes = 4 * space.dimension
        self.held = space.count * row_bytes <= budget
        limit = _BLOCK_BYTES if self.held else min(_BLOCK_BYTES, budget // 4)
        self._block_rows = block_rows or max(1, limit // row_bytes)
        self._make_index = make_index
        self._blocks: list[IndexedBlock] = []
        self._lock = Lock()

    def __iter__(self) -> Iterator[IndexedBlock]:
        """The blocks in order."""
        if not self.held:
            return self._built()
        with self._lock:
            if not self._blocks:
                self._blocks = list(self._built())
        return iter(self._blocks)

    def _built(self) -> Iterator[IndexedBlock]:
        for block in row_blocks(self._space.count, self._block_rows):
            yield IndexedBlock(block.start, block.stop - block.start, self._make_index(self._space.rows(block)))
