"""Search by any FAISS index, exact or approximate, named by its factory string."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from pipeline_lib.base.errors import UserError
from pipeline_lib.base.row_blocks import row_blocks
from pipeline_lib.features.blocks import FeatureBlocks
from pipeline_lib.ucls.neighbors.adaptive import AdaptiveRule
from pipeline_lib.ucls.neighbors.candidates import Lists

_TRAINING_ROWS = 1 << 18


def _parsed(parameters: str) -> list[tuple[str, float]]:
    """Names and values of ``name=value,name=value``."""
    try:
        pairs = [pair.split("=") for pair in parameters.split(",") if pair]
        return [(name.strip(), float(value)) for name, value in pairs]
    except ValueError as error:
        raise UserError(f"index, search parameters {parameters!r}: name=number,name=number is needed") from error


@contextmanager
def faiss_threads(threads: int) -> Iterator[None]:
    """Let FAISS use ``threads`` threads inside the block, and as many as before after it."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(threads)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


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

    def __init__(self, space: FeatureBlocks, description: str, *, seed: int, threads: int, block_rows: int) -> None:
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
            reason = str(error).strip().splitlines()[-1]
            raise UserError(f"index = {description!r}: FAISS refuses it for {space.count} rows: {reason}") from error
        self._index = index

    @property
    def count(self) -> int:
        """Number of rows n."""
        return self._space.count

    def lists(self, queries: NDArray[np.int64], rule: AdaptiveRule) -> Lists:
        """Neighbour lists of some rows, without themselves.

        Args:
            queries: Rows, (q,).
            rule: Which candidates are neighbours.

        Returns:
            Their lists; an approximate index may find fewer than ``k_min``, even none.
        """
        with faiss_threads(self._threads):
            k = min(rule.longest + 1, self._space.count)
            similarity, indices = self._index.search(self._space.rows(queries), k)  # (q, k) each
        similarity = np.where((indices < 0) | (indices == queries[:, None]), np.float32(-np.inf), similarity)
        order = np.lexsort((indices, -similarity), axis=1)
        indices = np.take_along_axis(indices, order, axis=1)
        similarity = np.take_along_axis(similarity, order, axis=1)
        rank = np.broadcast_to(np.arange(k), similarity.shape)
        keep = rule.keeps(rank, similarity) & np.isfinite(similarity)
        return Lists(keep.sum(axis=1), indices[keep], np.clip(similarity[keep], -1, 1))

    def _training_rows(self, seed: int) -> NDArray[np.int64]:
        count = self._space.count
        rows = np.random.default_rng(seed).permutation(count)[:_TRAINING_ROWS]
        return np.sort(rows).astype(np.int64)

    @staticmethod
    def _seed_clustering(index: Any, seed: int) -> None:
        inverted = faiss.try_extract_index_ivf(index)
        if inverted is not None:
            inverted.cp.seed = seed
