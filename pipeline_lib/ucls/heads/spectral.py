"""Spectral clustering of the neighbour graph (Ng, Jordan & Weiss 2001), as a start for the heads."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags
from scipy.sparse.linalg import eigsh
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from pipeline_lib.artifacts.neighbors import Neighbors


def neighbor_graph(neighbors: Neighbors, nearest: int) -> Any:
    """Symmetric graph of every image with its ``nearest`` neighbours; an edge weighs as much as it is similar.

    An edge is there where one of its two ends lists the other. Similarities at or below zero weigh next to nothing
    rather than nothing, so that no image is left without an edge.

    Args:
        neighbors: Neighbour lists of n images.
        nearest: How many of each list to take; all of a shorter one.

    Returns:
        CSR matrix (n, n) of float64, symmetric, with an empty diagonal.
    """
    lengths = np.minimum(neighbors.lengths(), nearest)
    owner = np.repeat(np.arange(neighbors.count), lengths)
    rank = np.arange(len(owner)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    entries = neighbors.indptr[owner] + rank
    weight = np.maximum(neighbors.similarity[entries].astype(np.float64), 1e-3)
    shape = (neighbors.count, neighbors.count)
    graph = csr_matrix((weight, (owner, np.asarray(neighbors.indices[entries]))), shape)
    return graph.maximum(graph.T).tocsr()


def spectral_embedding(graph: Any, dimension: int) -> NDArray[np.float64]:
    """Leading eigenvectors of the normalised graph, with rows of length one.

    scikit-learn's embedding factorises the Laplacian, which a neighbour graph of tens of thousands of images does not
    allow; Lanczos iteration needs products with the graph only.

    Args:
        graph: Symmetric CSR matrix (n, n) with positive row sums.
        dimension: Number of eigenvectors, below n.

    Returns:
        One row an image, (n, dimension).
    """
    degree = np.asarray(graph.sum(axis=1)).ravel()
    scale = diags(1 / np.sqrt(degree))
    # Without its own generator ARPACK draws from a state that lives on between calls.
    generator = np.random.default_rng(0)
    begin = generator.normal(size=len(degree))
    _, vectors = eigsh(scale @ graph @ scale, k=dimension, which="LA", v0=begin, rng=generator)
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    rows: NDArray[np.float64] = vectors / np.maximum(length, np.finfo(np.float64).tiny)
    return rows


def clustered_rows(rows: NDArray[Any], classes: int, seed: int) -> NDArray[np.int64]:
    """k-means clusters of ``rows`` (n, d) from one k-means++ start, (n,); the same for a seed."""
    with threadpool_limits(limits=1):
        found: NDArray[np.int32] = KMeans(classes, n_init=1, random_state=seed).fit(rows).labels_
    return found.astype(np.int64)
