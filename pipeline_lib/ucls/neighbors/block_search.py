"""Search of FAISS indexes that hold the rows block by block, for groups of queries in parallel."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline_lib.base.row_blocks import row_blocks, spread_rows
from pipeline_lib.features.blocks import FeatureBlocks
from pipeline_lib.ucls.neighbors.adaptive import AdaptiveRule
from pipeline_lib.ucls.neighbors.candidates import Candidates, Lists, joined
from pipeline_lib.ucls.neighbors.hits import Index, Plan, find_hits, plan_search
from pipeline_lib.ucls.neighbors.ranking import Packing
from pipeline_lib.ucls.neighbors.threads import map_in_threads

_SAMPLE = 256
_GROUPS_A_THREAD = 4


@dataclass(frozen=True)
class IndexedBlock:
    """Consecutive rows in one index.

    Attributes:
        first: Row of the first.
        count: Number of rows.
        index: The index, whose column 0 is row ``first``.
    """

    first: int
    count: int
    index: Index


@dataclass
class _Group:
    """Queries that are searched together.

    Attributes:
        rows: Their rows in the data set, (m,).
        vectors: Their vectors, (m, d).
        candidates: What was found for them.
    """

    rows: NDArray[np.int64]
    vectors: NDArray[np.float32]
    candidates: Candidates


class Blocks(Protocol):
    """Indexed blocks that cover all rows in order; every walk gives the same.

    Attributes:
        held: Whether they stay in memory, so that walking over them costs nothing.
    """

    held: bool

    def __iter__(self) -> Iterator[IndexedBlock]:
        """The blocks."""


class BlockSearch:
    """Finds the neighbours of given rows in all blocks. Lists do not depend on the number of threads.

    Args:
        space: Vectors of length one (or zeros).
        rule: Which candidates are neighbours.
        blocks: The rows that are searched.
        threads: Groups of queries searched at a time.
        memory: Bytes of queries and their candidates at a time where blocks are not held.
        group: Largest group of queries.
        ranged: Whether the indexes can be asked for all rows above a threshold.
    """

    def __init__(
        self,
        space: FeatureBlocks,
        rule: AdaptiveRule,
        blocks: Blocks,
        *,
        threads: int,
        memory: int = 1 << 30,
        group: int = 1024,
        ranged: bool = True,
    ) -> None:
        self._space = space
        self._rule = rule
        self._blocks = blocks
        self._threads = threads
        self._memory = memory
        self._packing = Packing(space.count)
        self._most = min(group, self._packing.most_queries)
        self._ranged = ranged
        self._plan: Plan | None = None

    @property
    def count(self) -> int:
        """Number of rows n."""
        return self._space.count

    @property
    def plan(self) -> Plan:
        """The plan, made once on the first block: it must not depend on the queries."""
        if self._plan is None:
            block = next(iter(self._blocks))
            rows = block.first + spread_rows(block.count, min(_SAMPLE, max(1, block.count // 50)))
            (self._plan,) = map_in_threads(lambda part: self._planned(block, part), [rows], 1)
        return self._plan

    @property
    def chunk(self) -> int:
        """Queries that are worth asking for together: some groups a thread, or what shares a walk over the blocks."""
        if self._blocks.held:
            return self.plan.group * _GROUPS_A_THREAD * self._threads
        listed = min(self._rule.longest, self.plan.listed * self._space.count)
        query_bytes = int(16 * listed) + 4 * self._space.dimension
        return self.plan.group * max(1, self._memory // (self.plan.group * query_bytes))

    def stream(self, queries: NDArray[np.int64]) -> Iterator[Lists]:
        """Neighbour lists of some rows, a group of ``plan.group`` after the other; a row is never in its own list.

        Args:
            queries: Rows, (q,).

        Yields:
            Lists of consecutive queries; of exact indexes as long as the rule says or one less than the number of rows,
            of approximate ones maybe shorter than ``k_min``, even empty.
        """
        if self._blocks.held:
            groups = [queries[block] for block in row_blocks(len(queries), self.plan.group)]
            yield from map_in_threads(self._lists, groups, self._threads)
            return
        for block in row_blocks(len(queries), self.chunk):
            rows = queries[block]
            together = [self._group(rows[part]) for part in row_blocks(len(rows), self.plan.group)]
            for indexed in self._blocks:
                scan = partial(self._scan, block=indexed)
                deque(map_in_threads(scan, together, self._threads), maxlen=0)
            yield from map_in_threads(lambda group: group.candidates.lists(), together, self._threads)

    def lists(self, queries: NDArray[np.int64]) -> Lists:
        """Neighbour lists of some rows (q,), as :meth:`stream` gives them."""
        return joined(self.stream(queries))

    def _planned(self, block: IndexedBlock, rows: NDArray[np.int64]) -> Plan:
        vectors = self._space.rows(rows)
        return plan_search(block.index, vectors, block.count, self._rule, self._most, ranged=self._ranged)

    def _lists(self, rows: NDArray[np.int64]) -> Lists:
        """Lists of one group from blocks that are held."""
        group = self._group(rows)
        for block in self._blocks:
            self._scan(group, block)
        return group.candidates.lists()

    def _group(self, rows: NDArray[np.int64]) -> _Group:
        return _Group(rows, self._space.rows(rows), Candidates(len(rows), self._rule, self._packing))

    def _scan(self, group: _Group, block: IndexedBlock) -> None:
        """Search one block for one group."""
        inside = (group.rows >= block.first) & (group.rows < block.first + block.count)
        own = np.where(inside, group.rows - block.first, -1)
        missing = self._rule.k_min - group.candidates.reached
        hits = find_hits(block.index, group.vectors, own, self._rule, self.plan.nearest, missing)
        group.candidates.add(hits.rows, hits.columns + block.first, hits.similarity)
