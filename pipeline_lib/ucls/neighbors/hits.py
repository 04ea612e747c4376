"""What one FAISS index holds that can be a neighbour: all above the threshold, and at least the ``k_min`` nearest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline_lib.base.row_blocks import row_blocks
from pipeline_lib.ucls.neighbors.adaptive import AdaptiveRule

_MOST_PROBED = 1024
_LACKING = 0.1
_COVERED = 0.98
_LONG_PROBES = 16
_GROUP_BYTES = 64 << 20
_HIT_BYTES = 48
"""A hit in FAISS' buffers, as arrays and as keys being sorted."""


class Index(Protocol):
    """What is asked of a FAISS index (or of what stands for one)."""

    def search(self, vectors: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Similarity and columns of the ``k`` most similar, (q, k) each, descending; column -1 where there is none."""

    def range_search(
        self, vectors: NDArray[np.float32], radius: float
    ) -> tuple[NDArray[Any], NDArray[np.float32], NDArray[np.int64]]:
        """Where each query's hits begin (q + 1,), similarity and columns of all above ``radius``, by query."""


class Hits(NamedTuple):
    """Candidates of some queries.

    Attributes:
        rows: Query of each, (c,) int64.
        columns: Its column in the index, (c,) int64.
        similarity: Its similarity, (c,) float32.
    """

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    similarity: NDArray[np.float32]


NO_HITS = Hits(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))
"""Of no query."""


@dataclass(frozen=True)
class Plan:
    """How an index is searched; every plan gives the same lists, at another cost.

    Attributes:
        nearest: None: all above the threshold first, then the ``k_min`` nearest for queries that lack them. Otherwise:
            this many nearest first, then all above the threshold for queries with more.
        group: Queries searched at a time, so that their hits stay below 64 MiB.
        listed: Share of the index that a query finds, on average.
    """

    nearest: int | None
    group: int
    listed: float


def plan_search(
    index: Index, sample: NDArray[np.float32], columns: int, rule: AdaptiveRule, most: int, *, ranged: bool = True
) -> Plan:
    """The cheaper order of the two searches, from the list lengths of some queries.

    A threshold search costs little more than the products, whatever it finds, but queries that it leaves short are
    searched twice; asking for the k nearest costs more the larger k is.

    Args:
        index: The index.
        sample: Some queries, (s, d).
        columns: Rows in the index.
        rule: Which candidates are neighbours.
        most: Largest group.
        ranged: Whether the index can be asked for all rows above a threshold.

    Returns:
        The plan.
    """
    if not rule.extends or not ranged:
        return _plan(rule.longest, rule.longest, columns, most)
    probed = min(rule.longest, _MOST_PROBED, columns - 1)
    similarity, _ = index.search(sample, probed + 1)
    lengths = (similarity >= rule.limit).sum(axis=1) - 1  # without the query itself
    hits = float(lengths.mean())
    if (lengths >= probed).any():
        limits, _, _ = index.range_search(sample[:: max(1, len(sample) // _LONG_PROBES)], radius_below(rule.limit))
        hits = max(hits, float(np.diff(np.asarray(limits).astype(np.int64)).mean()))
    if hits > 4 * rule.longest:
        return _plan(rule.longest, rule.longest, columns, most)
    if (lengths < rule.k_min).mean() <= _LACKING:
        return _plan(None, hits, columns, most)
    nearest = int(np.clip(np.quantile(lengths, _COVERED) + 1, rule.k_min, max(probed, rule.k_min)))
    return _plan(nearest, max(hits, nearest), columns, most)


def _plan(nearest: int | None, hits: float, columns: int, most: int) -> Plan:
    return Plan(nearest, int(np.clip(_GROUP_BYTES / (_HIT_BYTES * max(hits, 1)), 16, most)), hits / columns)


def radius_below(limit: np.float32) -> float:
    """Radius of a threshold search from ``limit`` on: FAISS leaves out what equals the radius."""
    return float(np.nextafter(limit, np.float32(-np.inf)))


def find_hits(
    index: Index,
    vectors: NDArray[np.float32],
    own: NDArray[np.int64],
    rule: AdaptiveRule,
    nearest: int | None,
    missing: NDArray[np.int64],
) -> Hits:
    """Every entry of an index that can be a neighbour of a query, and maybe some that cannot.

    Args:
        index: The index.
        vectors: Queries, (q, d).
        own: Column of each query itself, which is left out, or -1, (q,).
        rule: Which candidates are neighbours.
        nearest: As in :class:`Plan`.
        missing: Neighbours that each query lacks for ``k_min`` at the threshold, (q,).

    Returns:
        The hits, by query.
    """
    if nearest is not None:
        found = _nearest(index, vectors, own, max(nearest, rule.k_min))
        if not rule.extends or nearest >= rule.longest:
            return found
        more = np.bincount(found.rows[found.similarity >= rule.limit], minlength=len(vectors)) >= nearest
        return _replaced(found, more, _above(index, vectors[more], own[more], rule.limit))
    found = _above(index, vectors, own, rule.limit)
    short = np.bincount(found.rows, minlength=len(vectors)) < missing
    return _replaced(found, short, _nearest(index, vectors[short], own[short], rule.k_min))


def _replaced(found: Hits, chosen: NDArray[np.bool_], better: Hits) -> Hits:
    """The hits of the chosen queries replaced by others, which number these queries from 0."""
    if not chosen.any():
        return found
    kept = ~chosen[found.rows]
    rows = np.concatenate([found.rows[kept], np.flatnonzero(chosen)[better.rows]])
    columns = np.concatenate([found.columns[kept], better.columns])
    return Hits(rows, columns, np.concatenate([found.similarity[kept], better.similarity]))


def _above(index: Index, vectors: NDArray[np.float32], own: NDArray[np.int64], limit: np.float32) -> Hits:
    """All others with a similarity of at least ``limit``."""
    if not len(vectors):
        return NO_HITS
    limits, similarity, columns = index.range_search(vectors, radius_below(limit))
    ends = np.asarray(limits, dtype=np.int64)
    rows = np.repeat(np.arange(len(vectors)), ends[1:] - ends[:-1])
    other = columns != own[rows]
    return Hits(rows[other], columns[other], similarity[other])


def _nearest(index: Index, vectors: NDArray[np.float32], own: NDArray[np.int64], k: int) -> Hits:
    """The ``k`` most similar others, with all that tie with the last of them while the index has more."""
    parts = [NO_HITS]
    waiting = [(np.arange(len(vectors)), k + 2)]
    while waiting:
        queries, wanted = waiting.pop()
        for block in row_blocks(len(queries), max(1, _GROUP_BYTES // (_HIT_BYTES * wanted))):
            rows = queries[block]
            similarity, columns = index.search(vectors[rows], wanted)  # (r, wanted) each
            valid = (columns >= 0) & (columns != own[rows, None])
            kth = np.take_along_axis(similarity, _position(valid, k)[:, None], axis=1)[:, 0]
            # If the last that was asked for ties with the k-th, there may be more such.
            tied = (columns[:, -1] >= 0) & (similarity[:, -1] >= kth)
            place = np.nonzero(valid & ~tied[:, None])
            parts.append(Hits(rows[place[0]], columns[place], similarity[place]))
            if tied.any():
                waiting.append((rows[tied], 4 * wanted))
    return Hits(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def _position(valid: NDArray[np.bool_], k: int) -> NDArray[np.int64]:
    """Position of the ``k``-th valid entry of each row, or the last."""
    before: NDArray[np.int64] = (valid.cumsum(axis=1) < k).sum(axis=1)
    return before.clip(max=valid.shape[1] - 1)
