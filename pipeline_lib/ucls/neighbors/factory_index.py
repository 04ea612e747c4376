"""Search by any FAISS index, exact or approximate, named by its factory string."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from pipeline_lib.base.errors import UserError
from pipeline_lib.base.row_blocks import row_blocks
from pipeline_lib.features.blocks import FeatureBlocks
from pipeline_lib.ucls.neighbors.adaptive import AdaptiveRule
from pipeline_lib.ucls.neighbors.block_search import BlockSearch, IndexedBlock
from pipeline_lib.ucls.neighbors.hits import Index
from pipeline_lib.ucls.neighbors.threads import faiss_threads

_TRAINING_ROWS = 1 << 18
_PLACE = re.compile(r"^Error in .* at \S+:\d+: (Error: )?")
"""What FAISS says of its own code before the reason of an error."""


def _parsed(parameters: str) -> list[tuple[str, float]]:
    """Names and values of ``name=value,name=value``."""
    try:
        pairs = [pair.split("=") for pair in parameters.split(",") if pair]
        return [(name.strip(), float(value)) for name, value in pairs]
    except ValueError as error:
        raise UserError(f"index, search parameters {parameters!r}: name=number,name=number is needed") from error


class FactoryIndex:
    """A FAISS index by inner product over all rows; it is held in memory.

    Args:
        space: Vectors of length one (or zeros).
        description: FAISS factory string, for example ``IVF1024,Flat``; after a semicolon search parameters, for
            example ``IVF1024,Flat;nprobe=32``.
        seed: Seed of the training rows and of the clustering.
        threads: FAISS threads.
        block_rows: Rows added at a time.

    Raises:
        UserError: FAISS cannot build such an index for these vectors, or does not know a parameter.
    """

    def __init__(
        self, space: FeatureBlocks, description: str, *, seed: int, threads: int, block_rows: int = 1 << 16
    ) -> None:
        self._space = space
        self._threads = threads
        factory, _, parameters = description.partition(";")
        try:
            index = faiss.index_factory(space.dimension, factory, faiss.METRIC_INNER_PRODUCT)
            self._seed_clustering(index, seed)
            with faiss_threads(threads):
                index.train(space.rows(self._training_rows(seed)))
            # Graph indexes depend on the order in which threads insert.
            with faiss_threads(1 if any(graph in factory for graph in ("HNSW", "NSG")) else threads):
                for block in row_blocks(space.count, block_rows):
                    index.add(space.rows(block))
            for name, value in _parsed(parameters):
                faiss.ParameterSpace().set_index_parameter(index, name, value)
        except RuntimeError as error:
            reason = _PLACE.sub("", str(error).strip().splitlines()[-1])
            raise UserError(f"index = {description!r}: FAISS refuses it for {space.count} rows: {reason}") from error
        self._index: Index = index

    def search(self, rule: AdaptiveRule) -> BlockSearch:
        """The search of this index by a rule."""
        blocks = _OneBlock(IndexedBlock(0, self._space.count, self._index))
        return BlockSearch(self._space, rule, blocks, threads=self._threads, ranged=_ranged(self._index, self._space))

    def _training_rows(self, seed: int) -> NDArray[np.int64]:
        count = self._space.count
        rows = np.random.default_rng(seed).permutation(count)[:_TRAINING_ROWS]
        return np.sort(rows).astype(np.int64)

    @staticmethod
    def _seed_clustering(index: Any, seed: int) -> None:
        inverted = faiss.try_extract_index_ivf(index)
        if inverted is not None:
            inverted.cp.seed = seed


class _OneBlock:
    """All rows in one index."""

    held = True

    def __init__(self, block: IndexedBlock) -> None:
        self._block = block

    def __iter__(self) -> Iterator[IndexedBlock]:
        return iter([self._block])


def _ranged(index: Any, space: FeatureBlocks) -> bool:
    """Whether an index can be asked for all rows above a threshold; some kinds of FAISS cannot."""
    try:
        index.range_search(space.rows(slice(0, 1)), 2.0)
    except RuntimeError:
        return False
    return True
