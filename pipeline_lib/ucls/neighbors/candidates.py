"""Candidates of a group of queries, gathered tile by tile and cut down to neighbour lists."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline_lib.ucls.neighbors.adaptive import AdaptiveRule

_BELOW_ALL = np.float32(-2)
"""A bound under every cosine similarity, and over the minus infinity that marks a query itself."""


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


class Candidates:
    """Collects candidates of ``queries`` rows, which must come in ascending order of their index.

    ``bound`` tells which later candidates can still matter. It rises as better ones are found, so the memory is about
    ``2 * rule.longest`` candidates of 16 bytes a query, whatever the number of rows searched.

    Args:
        queries: Number of queries q.
        rule: Which candidates are neighbours.
    """

    def __init__(self, queries: int, rule: AdaptiveRule) -> None:
        self._queries = queries
        self._rule = rule
        self._parts: list[tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.float32]]] = []
        self._held = 0
        self._seen = 0
        self._next_cut = 0
        self.bound: NDArray[np.float32] = np.full(queries, _BELOW_ALL)

    @property
    def fresh(self) -> bool:
        """Whether nothing was searched yet."""
        return self._seen == 0

    def start(self, kth_similarity: NDArray[np.float32], seen: int) -> None:
        """Set the first bound.

        Args:
            kth_similarity: For each query a similarity that ``k_min`` candidates reach, (q,).
            seen: Rows of the first tile.
        """
        self.bound = np.maximum(np.minimum(kth_similarity, self._rule.limit), _BELOW_ALL)
        self._next_cut = 2 * seen

    def add(self, rows: NDArray[Any], indices: NDArray[Any], similarity: NDArray[np.float32], seen: int) -> None:
        """Add what one tile holds at or above the bound.

        Args:
            rows: Query of each candidate, 0 to q - 1.
            indices: Its row in the data set, ascending within each query and above all that were added before.
            similarity: Its similarity, float32.
            seen: Rows of the tile.
        """
        # Adding zero turns -0 into 0, which the sort would tell apart.
        self._parts.append((rows.astype(np.int32), indices.astype(np.int64), similarity + np.float32(0)))
        self._held += len(rows)
        self._seen += seen
        rising = self._seen >= self._next_cut and bool((self.bound < self._rule.limit).any())
        if rising or self._held > 2 * self._queries * self._rule.longest:
            self._cut()
            self._next_cut = 2 * self._seen

    def lists(self) -> Lists:
        """The neighbour lists of everything added."""
        rows, indices, similarity = self._cut()
        lengths = np.bincount(rows, minlength=self._queries).astype(np.int64)
        return Lists(lengths, indices, np.clip(similarity, -1, 1))

    def _cut(self) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.float32]]:
        """Rank the candidates, drop those that the rule drops, raise the bound."""
        rows, indices, similarity = (np.concatenate(part) for part in zip(*self._parts, strict=True))
        order = _ranked(rows, similarity)
        rows, indices, similarity = rows[order], indices[order], similarity[order]
        counts = np.bincount(rows, minlength=self._queries)
        first = np.cumsum(counts) - counts
        rank = np.arange(len(rows)) - np.repeat(first, counts)
        self.bound = np.maximum(self.bound, self._bound_of(similarity, counts, first))
        keep = self._rule.keeps(rank, similarity)
        kept = rows[keep], indices[keep], similarity[keep]
        self._parts, self._held = [kept], len(kept[0])
        return kept

    def _bound_of(
        self, similarity: NDArray[np.float32], counts: NDArray[Any], first: NDArray[Any]
    ) -> NDArray[np.float32]:
        """Similarity that a new candidate needs: the threshold or the ``k_min``-th, and the last of a full list."""
        bound = np.full(self._queries, _BELOW_ALL)
        enough = counts >= self._rule.k_min
        bound[enough] = np.minimum(similarity[first[enough] + self._rule.k_min - 1], self._rule.limit)
        full = counts >= self._rule.longest
        bound[full] = np.maximum(bound[full], similarity[first[full] + self._rule.longest - 1])
        return bound


def _ranked(rows: NDArray[np.int32], similarity: NDArray[np.float32]) -> NDArray[np.int64]:
    """Order by query, then by similarity descending; equal ones stay in the order they have.

    One 64-bit key (query above, similarity below) sorts several times faster than two keys, and without stability
    again twice as fast: only the equal ones are put in order afterwards.
    """
    bits = similarity.view(np.uint32)
    descending = np.where(bits >> 31, bits, np.uint32(0x7FFFFFFF) - bits)
    key = (rows.astype(np.uint64) << np.uint64(32)) | descending
    order: NDArray[np.int64] = np.argsort(key)
    key = key[order]
    same = np.concatenate([[False], key[1:] == key[:-1], [False]])
    tied = np.flatnonzero(same[1:] | same[:-1])
    if len(tied):
        order[tied] = order[tied][np.lexsort((order[tied], key[tied]))]
    return order
