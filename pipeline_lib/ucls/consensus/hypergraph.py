"""Clusters of all heads as hyperedges over the images (Strehl & Ghosh 2002, section 3.1), and their Jaccard graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from pipeline_lib.base.contingency import Integers, check_assignments, contingency
from pipeline_lib.base.errors import UserError
from pipeline_lib.base.row_blocks import row_blocks

ROW_BLOCK = 1 << 20
_LARGEST_ID = 1 << 14


@dataclass(frozen=True)
class Hyperedges:
    """The M used clusters of all heads, heads in order.

    Attributes:
        head: Head of each hyperedge, int64 (M,).
        cluster: Its cluster id within the head, int64 (M,).
        size: Its number of images, int64 (M,).
        row_of: For each head the hyperedge of every cluster id, int64 (C_h,); −1 for an id that no image has.
        offsets: Hyperedges of head h are ``offsets[h]`` up to ``offsets[h + 1]``, int64 (H + 1,).
    """

    head: NDArray[np.int64]
    cluster: NDArray[np.int64]
    size: NDArray[np.int64]
    row_of: tuple[NDArray[np.int64], ...]
    offsets: NDArray[np.int64]

    @property
    def count(self) -> int:
        """Number of hyperedges M."""
        return len(self.size)

    def of_head(self, head: int) -> slice:
        """Rows of the hyperedges of one head."""
        return slice(int(self.offsets[head]), int(self.offsets[head + 1]))


def _sizes_and_first(labels: Integers, head: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= _LARGEST_ID:
        raise UserError(f"assignments: head {head} has cluster ids {low} to {high}; allowed: 0 to {_LARGEST_ID - 1}")
    sizes = np.zeros(high + 1, dtype=np.int64)
    first = np.full(high + 1, len(labels), dtype=np.int64)
    for rows in row_blocks(len(labels), ROW_BLOCK):
        block = np.asarray(labels[rows], dtype=np.int64)
        sizes += np.bincount(block, minlength=high + 1)
        # Written back to front, an id keeps the position that is written last: its first one.
        position = np.full(high + 1, len(labels), dtype=np.int64)
        position[block[::-1]] = np.arange(rows.stop - 1, rows.start - 1, -1)
        np.minimum(first, position, out=first)
    return sizes, first


def find_hyperedges(assignments: Integers, order: Literal["id", "first"] = "id") -> Hyperedges:
    """List the used clusters of all heads.

    Args:
        assignments: Cluster ids of all heads, (H, n); ids may be unused.
        order: Order within a head: by cluster id, or by the first image of the cluster. The latter does not depend on
            how a head numbers its clusters, so that whatever is computed from it does not either.

    Returns:
        The hyperedges.

    Raises:
        UserError: ``assignments`` is no table of cluster ids.
    """
    check_assignments(assignments)
    clusters, sizes, row_of, offsets = [], [], [], [0]
    for head, labels in enumerate(assignments):
        counts, first = _sizes_and_first(labels, head)
        used = np.flatnonzero(counts)
        if order == "first":
            used = used[np.argsort(first[used])]
        rows = np.full(len(counts), -1, dtype=np.int64)
        rows[used] = offsets[-1] + np.arange(len(used))
        clusters.append(used)
        sizes.append(counts[used])
        row_of.append(rows)
        offsets.append(offsets[-1] + len(used))
    return Hyperedges(
        head=np.repeat(np.arange(len(clusters)), np.diff(offsets)),
        cluster=np.concatenate(clusters),
        size=np.concatenate(sizes),
        row_of=tuple(row_of),
        offsets=np.asarray(offsets, dtype=np.int64),
    )


def incidence(assignments: Integers, edges: Hyperedges) -> Any:
    """Incidence matrix of the hypergraph (Hᵀ of Strehl & Ghosh 2002, section 3.1).

    Args:
        assignments: Cluster ids of all heads, (H, n).
        edges: Their hyperedges.

    Returns:
        SciPy CSR matrix (M, n) of uint8 ones: hyperedge e contains image i.
    """
    heads, images = assignments.shape
    indices = np.empty(heads * images, dtype=np.int32 if images < 2**31 else np.int64)
    for head in range(heads):
        members = np.argsort(edges.row_of[head][assignments[head]], kind="stable")  # (n,), by hyperedge, then by image
        indices[head * images : (head + 1) * images] = members
    indptr = np.concatenate([[0], np.cumsum(edges.size)])
    return sp.csr_matrix((np.ones(len(indices), dtype=np.uint8), indices, indptr), shape=(edges.count, images))


def head_contingency(assignments: Integers, edges: Hyperedges, head: int, other: int) -> NDArray[np.int64]:
    """Common images of the hyperedges of two heads, int64 (M_head, M_other), in the order of ``edges``."""
    table = contingency(
        assignments[head], assignments[other], len(edges.row_of[head]), len(edges.row_of[other])
    )  # (C_head, C_other)
    return table[np.ix_(edges.cluster[edges.of_head(head)], edges.cluster[edges.of_head(other)])]


def jaccard_graph(assignments: Integers, edges: Hyperedges, minimum: float = 0.0) -> Any:
    """Jaccard measure |a ∩ b| / |a ∪ b| of all hyperedges of different heads (Strehl & Ghosh 2002, section 3.4).

    Hyperedges of one head have no image in common, hence no entry; nor has a hyperedge with itself. Takes one k × k
    table for each pair of heads: O(n H²) counting, memory for two tables and for the entries kept.

    Args:
        assignments: Cluster ids of all heads, (H, n).
        edges: Their hyperedges.
        minimum: Entries below are left out.

    Returns:
        SciPy CSR matrix (M, M), float64, symmetric.
    """
    rows, columns, values = [], [], []
    for head in range(len(assignments)):
        size = edges.size[edges.of_head(head)]
        for other in range(head + 1, len(assignments)):
            common = head_contingency(assignments, edges, head, other)
            a, b = np.nonzero(common)
            shared = common[a, b]
            value = shared / (size[a] + edges.size[edges.of_head(other)][b] - shared)
            kept = value >= minimum
            rows.append((a[kept] + edges.offsets[head]).astype(np.int32))
            columns.append((b[kept] + edges.offsets[other]).astype(np.int32))
            values.append(value[kept])
    if not rows:
        return sp.csr_matrix((edges.count, edges.count), dtype=np.float64)
    upper = sp.csr_matrix(
        (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), shape=(edges.count, edges.count)
    )
    return (upper + upper.T).tocsr()
