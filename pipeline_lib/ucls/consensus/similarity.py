"""Graph of the most similar images: how many heads put two images together, exactly or from sampled pairs."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from pipeline_lib.base.contingency import Integers
from pipeline_lib.base.row_blocks import row_blocks
from pipeline_lib.ucls.consensus.hypergraph import Hyperedges

_BLOCK_ENTRIES = 1 << 24


def coassociation(assignments: Integers, rows: slice) -> NDArray[np.int16]:
    """Number of heads that put two images into one cluster: r·S of CSPA (Strehl & Ghosh 2002, section 3.2).

    Args:
        assignments: Cluster ids of all heads, (H, n).
        rows: Images of the first axis, b of them.

    Returns:
        Counts, int16 (b, n); an image with itself has H.
    """
    images = assignments.shape[1]
    counts = np.zeros((rows.stop - rows.start, images), dtype=np.int16)
    for head in assignments:
        labels = np.asarray(head)
        counts += labels[rows, None] == labels[None, :]
    return counts


def _graph(rows: NDArray[Any], columns: NDArray[Any], counts: NDArray[Any], images: int) -> Any:
    return sp.csr_matrix((counts, (rows, columns)), shape=(images, images))


def exact_neighbor_graph(assignments: Integers, neighbors: int, seed: int) -> Any:
    """Compare all pairs of images and keep the most similar ones of each; ties by seeded chance.

    Takes O(H n²) comparisons, in row blocks.

    Args:
        assignments: Cluster ids of all heads, (H, n).
        neighbors: Number of most similar images to keep for each.
        seed: Seed of the ties.

    Returns:
        SciPy CSR matrix (n, n) of int16 co-association counts; row i has what image i keeps.
    """
    images = assignments.shape[1]
    kept = min(neighbors, images - 1)
    generator = np.random.default_rng((seed, 3))
    rows, columns, counts = [], [], []
    for block in row_blocks(images, max(1, _BLOCK_ENTRIES // images)):
        own = np.arange(block.stop - block.start)
        count = coassociation(assignments, block)  # (b, n)
        count[own, own + block.start] = 0
        # Without the random part, of equal images those with low numbers would be everybody's neighbours.
        key = count + generator.random(count.shape, dtype=np.float32)
        best = np.argpartition(-key, kept - 1, axis=1)[:, :kept] if kept else np.empty((len(own), 0), dtype=np.int64)
        value = np.take_along_axis(count, best, axis=1)
        image, position = np.nonzero(value)
        rows.append((image + block.start).astype(np.int32))
        columns.append(best[image, position].astype(np.int32))
        counts.append(value[image, position])
    return _graph(np.concatenate(rows), np.concatenate(columns), np.concatenate(counts), images)


def _draw_members(
    assignments: Integers, edges: Hyperedges, draws: int, generator: np.random.Generator
) -> NDArray[np.int32]:
    """Random members of each image's cluster in every head, with replacement, int32 (n, H·draws)."""
    heads, images = assignments.shape
    drawn = np.empty((images, heads * draws), dtype=np.int32)
    for head in range(heads):
        row = edges.row_of[head][assignments[head]] - edges.offsets[head]
        members = np.argsort(row.astype(np.int16), kind="stable").astype(np.int32)  # radix sort
        size = edges.size[edges.of_head(head)]
        start = (np.cumsum(size) - size)[row]  # (n,)
        for draw in range(draws):
            position = (generator.random(images) * size[row]).astype(np.int64)
            drawn[:, head * draws + draw] = members[start + position]
    return drawn


def _best_candidates(
    by_image: NDArray[Any], candidates: NDArray[np.int32], first: int, neighbors: int
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int16]]:
    own = np.arange(first, first + len(candidates), dtype=np.int32)
    candidates = np.sort(candidates, axis=1)  # (b, H·draws)
    count = (by_image[candidates] == by_image[own][:, None, :]).sum(axis=2, dtype=np.int16)
    count[candidates == own[:, None]] = 0
    count[:, 1:][candidates[:, 1:] == candidates[:, :-1]] = 0
    kept = min(neighbors, candidates.shape[1])
    best = np.argpartition(-count, kept - 1, axis=1)[:, :kept]
    value = np.take_along_axis(count, best, axis=1)
    image, position = np.nonzero(value)
    return own[image], candidates[image, best[image, position]], value[image, position]


def sampled_neighbor_graph(assignments: Integers, edges: Hyperedges, neighbors: int, draws: int, seed: int) -> Any:
    """Compare each image with random members of its clusters and keep the most similar ones.

    Takes O(n H² draws) comparisons. The agreement of a pair that was drawn is exact: over all heads.

    Args:
        assignments: Cluster ids of all heads, (H, n).
        edges: Their hyperedges.
        neighbors: Number of most similar images to keep for each.
        draws: Members to draw from an image's cluster in each head.
        seed: Seed of the draws.

    Returns:
        SciPy CSR matrix (n, n) of int16 co-association counts; row i has what image i keeps.
    """
    heads, images = assignments.shape
    candidates = _draw_members(assignments, edges, draws, np.random.default_rng((seed, 3)))
    by_image = np.ascontiguousarray(np.asarray(assignments).T)  # (n, H): the labels of a pair in two cache lines each
    kept = images * min(neighbors, heads * draws)
    rows, columns = np.empty(kept, dtype=np.int32), np.empty(kept, dtype=np.int32)
    counts = np.empty(kept, dtype=np.int16)
    filled = 0
    for block in row_blocks(images, max(1, _BLOCK_ENTRIES // (heads * heads * draws))):
        row, column, count = _best_candidates(by_image, candidates[block], block.start, neighbors)
        end = filled + len(row)
        rows[filled:end], columns[filled:end], counts[filled:end] = row, column, count
        filled = end
    del candidates, by_image
    return _graph(rows[:filled], columns[:filled], counts[:filled], images)
