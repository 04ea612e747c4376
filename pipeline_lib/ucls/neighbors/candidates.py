"""Candidates of a group of queries, gathered block by block and cut down to neighbour lists."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline_lib.ucls.neighbors.adaptive import AdaptiveRule
from pipeline_lib.ucls.neighbors.ranking import Packing


class Lists(NamedTuple):
    """Neighbour lists of consecutive queries.

    Attributes:
        lengths: Length of each list, (q,) int64.
        indices: Rows of the neighbours, lists one after the other, (nnz,) int64.
        similarity: Their similarity, descending in each list, (nnz,) float32 in [-1, 1].
    """

    lengths: NDArray[np.int64]
    indices: NDArray[np.int64]
    similarity: NDArray[np.float32]


def joined(parts: Iterable[Lists]) -> Lists:
    """Lists of consecutive groups of queries as one."""
    return Lists(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


class Candidates:
    """Collects candidates of ``queries`` rows.

    What the rule will drop is dropped on the way, so the memory stays at about ``2 * rule.longest`` candidates of eight
    bytes a query, whatever the number of rows searched.

    Args:
        queries: Number of queries q.
        rule: Which candidates are neighbours.
        packing: How candidates are packed.

    Attributes:
        reached: Candidates at or above the threshold that each query has met, (q,) int64.
    """

    def __init__(self, queries: int, rule: AdaptiveRule, packing: Packing) -> None:
        self._queries = queries
        self._rule = rule
        self._packing = packing
        self._parts: list[NDArray[np.uint64]] = []
        self._held = 0
        self.reached: NDArray[np.int64] = np.zeros(queries, dtype=np.int64)

    def add(self, rows: NDArray[Any], columns: NDArray[Any], similarity: NDArray[np.float32]) -> None:
        """Add candidates, in any order, each pair once.

        Args:
            rows: Query of each, 0 to q - 1, (c,).
            columns: Its row in the data set, (c,).
            similarity: Its similarity, finite float32, (c,).
        """
        self.reached += np.bincount(rows[similarity >= self._rule.limit], minlength=self._queries)
        self._parts.append(self._packing.pack(rows, columns, similarity))
        self._held += len(rows)
        if len(self._parts) > 1 and self._held > 2 * self._queries * self._rule.longest:
            self._cut()

    def lists(self) -> Lists:
        """The neighbour lists of everything added."""
        rows, columns, similarity = self._cut()
        lengths = np.bincount(rows, minlength=self._queries).astype(np.int64)
        return Lists(lengths, columns, np.clip(similarity, -1, 1))

    def _cut(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
        """Rank the candidates and drop those that the rule drops."""
        keys = np.concatenate([np.zeros(0, np.uint64), *self._parts])
        keys.sort()
        rows, columns, similarity = self._packing.unpack(keys)
        counts = np.bincount(rows, minlength=self._queries)
        rank = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
        keep = self._rule.keeps(rank, similarity)
        self._parts = [keys[keep]]
        self._held = len(self._parts[0])
        return rows[keep], columns[keep], similarity[keep]
