"""Exact search: every query against every row, in tiles whose number does not show in the memory."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline_lib.features.blocks import FeatureBlocks
from pipeline_lib.ucls.neighbors.adaptive import AdaptiveRule
from pipeline_lib.ucls.neighbors.candidates import Candidates, Lists
from pipeline_lib.ucls.neighbors.products import Products, reproducible_products


class SearchedRows:
    """The rows that are searched, one block at a time, or all held where they fit.

    Args:
        space: Vectors of length one (or zeros).
        products: Where they are held.
        block_rows: Rows of a block.
        budget: Bytes of float32 vectors that may be held; above it every block is read again for every block of
            queries.
    """

    def __init__(self, space: FeatureBlocks, products: Products, block_rows: int, budget: int) -> None:
        self._space = space
        self._products = products
        self._block_rows = block_rows
        self._fits = space.count * space.dimension * 4 <= budget
        self._held: list[tuple[int, Any]] = []

    def blocks(self) -> Iterator[tuple[int, Any]]:
        """First row and held vectors of each block, in order."""
        if not self._fits:
            return self._read()
        if not self._held:
            self._held = list(self._read())
        return iter(self._held)

    def _read(self) -> Iterator[tuple[int, Any]]:
        for start in range(0, self._space.count, self._block_rows):
            block = slice(start, min(start + self._block_rows, self._space.count))
            yield start, self._products.hold(self._space.rows(block))


@dataclass
class _Group:
    """Queries that share tiles.

    Attributes:
        rows: Their rows in the data set, (m,).
        vectors: Their held vectors.
        candidates: What was found for them.
    """

    rows: NDArray[np.int64]
    vectors: Any
    candidates: Candidates


class ExactSearch:
    """Finds the neighbours of given rows among all rows.

    The inner product of every pair is computed once, in tiles; of each tile only the entries are looked at that can
    still be neighbours. That makes the adaptive rule cost little more than the products, where asking FAISS for the
    ``k_max`` nearest costs up to twice as much (``benchmarks/knn.py``). Lists do not depend on the number of threads.

    Args:
        space: Vectors of length one (or zeros).
        rule: Which candidates are neighbours.
        products: What computes the tiles.
        threads: Tiles computed at a time.
        base_rows: Rows of a block of ``space`` that is in memory at a time.
        budget: Bytes up to which all of ``space`` is held in memory instead.
    """

    def __init__(
        self,
        space: FeatureBlocks,
        rule: AdaptiveRule,
        products: Products,
        *,
        threads: int,
        base_rows: int,
        budget: int,
    ) -> None:
        self._space = space
        self._rule = rule
        self._products = products
        self._threads = threads
        self._searched = SearchedRows(space, products, base_rows, budget)

    def lists(self, queries: NDArray[np.int64]) -> Lists:
        """Neighbour lists of some rows; a row is never in its own list.

        Args:
            queries: Rows, (q,).

        Returns:
            Their lists, as long as the rule says or one less than the number of rows.
        """
        groups = []
        for start in range(0, len(queries), self._products.group):
            rows = queries[start : start + self._products.group]
            vectors = self._products.hold(self._space.rows(rows))
            groups.append(_Group(rows, vectors, Candidates(len(rows), self._rule)))
        with reproducible_products(), ThreadPoolExecutor(self._threads) as pool:
            for first, block in self._searched.blocks():
                list(pool.map(lambda group, first=first, block=block: self._scan(group, first, block), groups))
            found = list(pool.map(lambda group: group.candidates.lists(), groups))
        return Lists(*(np.concatenate(parts) for parts in zip(*found, strict=True)))

    def _scan(self, group: _Group, first: int, block: Any) -> None:
        """Search one block of rows, which begins at row ``first``, for one group."""
        products = self._products
        for start in range(0, len(block), products.tile):
            tile = block[start : start + products.tile]
            begin, width = first + start, len(tile)
            scores = products.scores(group.vectors, tile)  # (m, width)
            own = np.flatnonzero((group.rows >= begin) & (group.rows < begin + width))
            products.mask(scores, own, group.rows[own] - begin)
            if group.candidates.fresh and width >= self._rule.k_min:
                group.candidates.start(products.kth_largest(scores, self._rule.k_min), width)
            hits = products.hits(scores, group.candidates.bound)
            group.candidates.add(hits.rows, hits.columns + begin, hits.similarity, width)
