"""Exact search on a GPU by torch: products in tiles, of which only what can be a neighbour is kept and sorted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline_lib.base.row_blocks import row_blocks
from pipeline_lib.features.blocks import FeatureBlocks
from pipeline_lib.ucls.neighbors.adaptive import AdaptiveRule
from pipeline_lib.ucls.neighbors.candidates import Lists, joined

_BELOW_ALL = -2.0
"""A bound under every cosine similarity, and over the minus infinity that marks a query itself."""


@contextmanager
def full_precision() -> Iterator[None]:
    """Products of float32 in float32, whatever a precision setting (TF32) says."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


class DeviceTiles:
    """All rows in tiles on a device: held there where they fit, else read again on every walk.

    Args:
        space: Vectors of length one (or zeros).
        device: Torch device.
        budget: Bytes up to which all rows are held as float32.
        tile: Rows of a tile.
    """

    def __init__(self, space: FeatureBlocks, device: torch.device, budget: int, tile: int) -> None:
        self._space = space
        self._device = device
        self._tile = tile
        self.held = 4 * space.count * space.dimension <= budget
        self._tiles: list[tuple[int, Tensor]] = []

    def __iter__(self) -> Iterator[tuple[int, Tensor]]:
        """First row and vectors (w, d) of each tile, in order."""
        if not self.held:
            return self._read()
        if not self._tiles:
            self._tiles = list(self._read())
        return iter(self._tiles)

    def _read(self) -> Iterator[tuple[int, Tensor]]:
        for block in row_blocks(self._space.count, self._tile):
            yield block.start, torch.from_numpy(self._space.rows(block)).to(self._device)


class DeviceSearch:
    """Finds the neighbours of given rows among all rows, exactly.

    Each product is made once. Of a tile only the entries are kept that reach the threshold or, for queries that have
    not met ``k_min`` such, the ``k_min``-th best so far. Keys of query, similarity and row are sorted on the device;
    only finished lists come back.

    Args:
        space: Vectors of length one (or zeros).
        rule: Which candidates are neighbours.
        device: Torch device.
        memory: Bytes of device memory up to which all rows are held there.
        tile: Rows of a tile.
        group: Queries searched at a time.
    """

    def __init__(
        self,
        space: FeatureBlocks,
        rule: AdaptiveRule,
        device: torch.device,
        *,
        memory: int,
        tile: int = 1 << 16,
        group: int = 1 << 12,
    ) -> None:
        self._space = space
        self._rule = rule
        self._device = device
        self._tiles = DeviceTiles(space, device, memory, tile)
        self._memory = memory
        self._column_bits = max(1, (space.count - 1).bit_length())
        self._group = min(group, 1 << (31 - self._column_bits))

    @property
    def count(self) -> int:
        """Number of rows n."""
        return self._space.count

    @property
    def chunk(self) -> int:
        """Queries that share a walk over the tiles."""
        if self._tiles.held:
            return self._group
        query_bytes = 16 * min(self._rule.longest, self._space.count) + 4 * self._space.dimension
        return self._group * max(1, self._memory // (4 * self._group * query_bytes))

    def stream(self, queries: NDArray[np.int64]) -> Iterator[Lists]:
        """Neighbour lists of some rows, a group after the other; a row is never in its own list.

        Args:
            queries: Rows, (q,).

        Yields:
            Lists of consecutive queries, as long as the rule says or one less than the number of rows.
        """
        for block in row_blocks(len(queries), self.chunk):
            rows = queries[block]
            yield from self._found([rows[part] for part in row_blocks(len(rows), self._group)])

    def lists(self, queries: NDArray[np.int64]) -> Lists:
        """Neighbour lists of some rows (q,), as :meth:`stream` gives them."""
        return joined(self.stream(queries))

    def _found(self, groups: list[NDArray[np.int64]]) -> list[Lists]:
        """Lists of groups that share one walk over the tiles."""
        found = [_DeviceCandidates(rows, self._rule, self._column_bits, self._device) for rows in groups]
        vectors = [torch.from_numpy(self._space.rows(rows)).to(self._device) for rows in groups]
        with full_precision():
            for first, tile in self._tiles:
                for candidates, own in zip(found, vectors, strict=True):
                    candidates.add(own @ tile.T, first)
        return [candidates.lists() for candidates in found]


class _DeviceCandidates:
    """Collects candidates of some queries on a device, as sortable keys.

    Args:
        queries: Rows of the queries in the data set, (m,) int64.
        rule: Which candidates are neighbours.
        column_bits: Bits of a row's number.
        device: Torch device.
    """

    def __init__(self, queries: NDArray[np.int64], rule: AdaptiveRule, column_bits: int, device: torch.device) -> None:
        self.queries = queries
        self._rule = rule
        self._bits = column_bits
        self._bound = torch.full((len(queries),), _BELOW_ALL, device=device)
        self._keys = torch.zeros(0, dtype=torch.int64, device=device)
        self._parts: list[Tensor] = []
        self._held = 0

    def add(self, scores: Tensor, first: int) -> None:
        """Take the candidates out of similarities (m, w) to the rows from ``first`` on."""
        width = scores.shape[1]
        inside = np.flatnonzero((self.queries >= first) & (self.queries < first + width))
        if len(inside):
            own = torch.from_numpy(np.stack([inside, self.queries[inside] - first])).to(scores.device)
            scores[own[0], own[1]] = -torch.inf
        if first == 0 and width > self._rule.k_min:
            kth = torch.topk(scores, self._rule.k_min, dim=1).values[:, -1]
            self._bound = kth.clamp(min=_BELOW_ALL, max=float(self._rule.limit))
        row, column = torch.nonzero(scores >= self._bound[:, None], as_tuple=True)
        self._parts.append(self._packed(row, column + first, scores[row, column]))
        self._held += len(row)
        if self._held > 2 * len(self.queries) * max(self._rule.longest, 64):
            self._cut()

    def lists(self) -> Lists:
        """The neighbour lists of everything added."""
        self._cut()
        keys = self._keys
        lengths = torch.bincount(keys >> (32 + self._bits), minlength=len(self.queries))
        similarity = _similarity_of((keys >> self._bits) & 0xFFFFFFFF).clamp(-1, 1)
        columns = keys & ((1 << self._bits) - 1)
        return Lists(lengths.cpu().numpy(), columns.cpu().numpy(), similarity.cpu().numpy())

    def _packed(self, row: Tensor, column: Tensor, similarity: Tensor) -> Tensor:
        # Adding zero turns -0 into 0: they rank alike.
        bits = (similarity + 0.0).view(torch.int32).long()
        descending = torch.where(bits < 0, bits & 0xFFFFFFFF, 0x7FFFFFFF - bits)
        return (row << (32 + self._bits)) | (descending << self._bits) | column

    def _cut(self) -> None:
        """Rank the candidates, drop those that the rule drops, raise the bound."""
        keys = torch.cat([self._keys, *self._parts]).sort().values
        row = keys >> (32 + self._bits)
        counts = torch.bincount(row, minlength=len(self.queries))
        first = counts.cumsum(0) - counts
        rank = torch.arange(len(keys), device=keys.device) - first[row]
        similarity = _similarity_of((keys >> self._bits) & 0xFFFFFFFF)
        limit = float(self._rule.limit)
        keep = (rank < self._rule.k_min) | ((rank < self._rule.longest) & (similarity >= limit))
        self._raise(similarity, counts, first, self._rule.k_min, limit)
        self._raise(similarity, counts, first, self._rule.longest, np.inf)
        self._keys, self._parts = keys[keep], []
        self._held = len(self._keys)

    def _raise(self, similarity: Tensor, counts: Tensor, first: Tensor, place: int, most: float) -> None:
        """Raise the bound of queries that have ``place`` candidates to that one's similarity, or to ``most``."""
        enough = torch.nonzero(counts >= place)[:, 0]
        reached = similarity[first[enough] + place - 1].clamp(max=most)
        self._bound[enough] = torch.maximum(self._bound[enough], reached)


def _similarity_of(descending: Tensor) -> Tensor:
    bits = torch.where(descending > 0x7FFFFFFF, descending - (1 << 32), 0x7FFFFFFF - descending)
    return bits.int().view(torch.float32)
