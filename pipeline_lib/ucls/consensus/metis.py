"""Balanced k-way partition of a weighted graph with METIS; what METIS cannot take is dealt with before the call."""

from __future__ import annotations

import heapq
from importlib import metadata
from typing import Any

import numpy as np
import pymetis
import scipy.sparse as sp
from numpy.typing import NDArray

_SMALLEST_K_WAY = 9


def metis_version() -> str:
    """Name and version of the partitioner, for records."""
    return f"pymetis {metadata.version('pymetis')}"


def symmetric_graph(weights: Any) -> Any:
    """Undirected graph without self loops: the larger of the two directions of each pair.

    Args:
        weights: Sparse matrix (N, N) of non-negative integers.

    Returns:
        CSR matrix (N, N), symmetric, zero diagonal, no stored zeros, sorted indices.

    Raises:
        ValueError: Not square, not integer, or a negative weight.
    """
    graph = sp.csr_matrix(weights)
    if graph.shape[0] != graph.shape[1] or not np.issubdtype(graph.dtype, np.integer):
        raise ValueError(f"a graph needs a square integer matrix, found {graph.dtype} {graph.shape}")
    if graph.nnz and graph.data.min() < 0:
        raise ValueError(f"a graph needs non-negative weights, found {graph.data.min()}")
    graph = graph.maximum(graph.T).tocsr()
    graph.setdiag(0)
    graph.eliminate_zeros()
    graph.sort_indices()
    return graph


def _metis(
    graph: Any, parts: int, vertex_weights: NDArray[np.int64] | None, seed: int, imbalance: float
) -> tuple[NDArray[np.int32], int]:
    # The choice of METIS itself: bisection for few parts. Left unset, pymetis decides, by a rule of its own.
    recursive = parts < _SMALLEST_K_WAY
    # ufactor u allows the largest part (1 + u/1000) times its share.
    options = pymetis.Options(seed=seed, ufactor=max(1, round(1000 * imbalance)))
    adjacency = pymetis.CSRAdjacency(graph.indptr.astype(np.int64), graph.indices.astype(np.int64))
    result = pymetis.part_graph(
        parts,
        adjacency,
        eweights=graph.data.astype(np.int64),
        vweights=vertex_weights,
        recursive=recursive,
        options=options,
    )
    labels = np.asarray(result.vertex_part, dtype=np.int32)
    if result.edge_cuts < 0 or labels.shape != (graph.shape[0],) or labels.min() < 0 or labels.max() >= parts:
        raise RuntimeError(f"METIS found no valid partition of {graph.shape[0]} vertices into {parts} parts")
    return labels, int(result.edge_cuts)


def _lowest_cut(
    graph: Any, parts: int, vertex_weights: NDArray[np.int64] | None, seed: int, imbalance: float, runs: int
) -> NDArray[np.int32]:
    best, lowest = _metis(graph, parts, vertex_weights, seed, imbalance)
    for run in range(1, runs):
        # METIS' first k-way cut of a small graph does not depend on its seed; on the order of the vertices it does.
        order = np.random.default_rng((seed, run)).permutation(graph.shape[0])
        shuffled = graph[order][:, order].tocsr()
        shuffled.sort_indices()
        weights = None if vertex_weights is None else vertex_weights[order]
        labels, cut = _metis(shuffled, parts, weights, seed, imbalance)
        if cut < lowest:
            lowest = cut
            best = np.empty_like(labels)
            best[order] = labels
    return best


def _fill_lightest(
    labels: NDArray[np.int32], vertices: NDArray[np.int64], weights: NDArray[np.int64], parts: int
) -> None:
    placed = labels >= 0
    load = np.bincount(labels[placed], weights=weights[placed], minlength=parts)
    queue = [(float(weight), part) for part, weight in enumerate(load)]
    heapq.heapify(queue)
    for vertex in vertices:
        weight, part = queue[0]
        labels[vertex] = part
        heapq.heapreplace(queue, (weight + max(1.0, float(weights[vertex])), part))


def partition_graph(
    weights: Any,
    parts: int,
    *,
    seed: int,
    imbalance: float = 0.05,
    vertex_weights: NDArray[np.int64] | None = None,
    prepared: bool = False,
    runs: int = 1,
) -> NDArray[np.int32]:
    """Cut a graph into parts of about equal weight, with little weight on the edges between them.

    METIS accepts graphs that it was not made for and then gives nonsense. So directions are merged and self loops go,
    vertices without an edge go to the lightest parts, and with too few connected vertices each is a part of its own.

    Args:
        weights: Sparse matrix (N, N) of non-negative integers; of two directions the larger counts.
        parts: Number of parts, at least 1; fewer come out where there are fewer vertices.
        seed: Seed of METIS.
        imbalance: How much heavier than its share the heaviest part may be (0.05: METIS' ufactor 50).
        vertex_weights: Non-negative weights, int64 (N,); None for 1 each.
        prepared: ``weights`` comes from :func:`symmetric_graph` already.
        runs: METIS runs, from the second on with the vertices in random order; the lowest cut is taken.

    Returns:
        Part of each vertex, int32 (N,), 0 to ``parts`` − 1.

    Raises:
        ValueError: Unusable arguments.
        RuntimeError: METIS gave no valid partition.
    """
    graph = weights if prepared else symmetric_graph(weights)
    vertices = graph.shape[0]
    load = np.ones(vertices, dtype=np.int64) if vertex_weights is None else vertex_weights
    if parts < 1 or load.shape != (vertices,) or (vertices and load.min() < 0):
        raise ValueError(f"needed: at least 1 part, got {parts}, and one vertex weight of 0 or more for each vertex")
    if parts == 1 or vertices == 0:
        return np.zeros(vertices, dtype=np.int32)
    labels = np.full(vertices, -1, dtype=np.int32)
    connected = np.flatnonzero(np.diff(graph.indptr))
    if len(connected) <= parts:
        labels[connected] = np.arange(len(connected))
    elif len(connected) == vertices:
        return _lowest_cut(graph, parts, vertex_weights, seed, imbalance, runs)
    else:
        chosen = None if vertex_weights is None else vertex_weights[connected]
        labels[connected] = _lowest_cut(graph[connected][:, connected], parts, chosen, seed, imbalance, runs)
    _fill_lightest(labels, np.flatnonzero(labels < 0), load, parts)
    return labels
