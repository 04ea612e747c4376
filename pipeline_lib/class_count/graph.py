"""A graph of nearest neighbours, and its spectral embedding (Ng, Jordan and Weiss 2001)."""

from __future__ import annotations

import faiss
import numpy as np
import scipy.sparse as sparse
from numpy.typing import NDArray
from scipy.sparse.linalg import eigsh

_TOLERANCE = 1e-2
"""Relative error of the eigenvalues at which the iteration stops; the partitions do not profit from a smaller one."""


def neighbor_graph(vectors: NDArray[np.float32], neighbors: int) -> sparse.csr_matrix:
    """Graph that joins every row with its nearest by inner product.

    Args:
        vectors: Rows of length one, (n, d) float32, n above ``neighbors``.
        neighbors: Neighbours of a row k.

    Returns:
        Symmetric weights (n, n): 1 where two rows are among each other's k nearest, 1/2 where only one is. No row is
        joined with itself.
    """
    count = len(vectors)
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    _, nearest = index.search(vectors, neighbors + 1)  # (n, k + 1)
    others = nearest != np.arange(count)[:, None]
    # A row with many duplicates may be missing from its own list, which then has one entry too many.
    others[others.all(axis=1), -1] = False
    rows = np.repeat(np.arange(count), neighbors)
    directed = sparse.csr_matrix((np.ones(len(rows)), (rows, nearest[others])), (count, count))
    return sparse.csr_matrix((directed + directed.T) / 2)


def spectral_embedding(graph: sparse.csr_matrix, dimensions: int, seed: int) -> NDArray[np.float32]:
    """Leading eigenvectors of the normalised adjacency matrix D^-1/2 A D^-1/2.

    Args:
        graph: Symmetric weights (n, n), every row with at least one.
        dimensions: Eigenvectors, below n.
        seed: Seed of the iteration's first vector.

    Returns:
        The eigenvectors as columns, by falling eigenvalue, (n, dimensions) float32.
    """
    scale = sparse.diags(1 / np.sqrt(_degrees(graph)))
    start = np.random.default_rng(seed).standard_normal(graph.shape[0])
    values, vectors = eigsh(scale @ graph @ scale, k=dimensions, which="LA", tol=_TOLERANCE, v0=start)
    return np.ascontiguousarray(vectors[:, np.argsort(-values)], dtype=np.float32)


def spectral_partition(
    embedding: NDArray[np.float32], clusters: int, *, iterations: int, seed: int
) -> NDArray[np.int64]:
    """Partition by k-means on the leading columns of the embedding, rows brought to length one.

    Args:
        embedding: What :func:`spectral_embedding` gave, (n, m).
        clusters: Clusters K; as many columns are used, or all m where there are fewer.
        iterations: Lloyd iterations.
        seed: Seed of the first centres.

    Returns:
        Cluster of each row, (n,) int64, 0 to K - 1; some may be empty.
    """
    rows = embedding[:, : min(clusters, embedding.shape[1])]
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    rows = np.ascontiguousarray(np.divide(rows, length, out=np.zeros_like(rows), where=length > 0))
    fit = faiss.Kmeans(
        rows.shape[1],
        clusters,
        niter=iterations,
        seed=seed,
        min_points_per_centroid=1,
        max_points_per_centroid=len(rows),
    )
    fit.train(rows)
    _, nearest = fit.index.search(rows, 1)
    return np.asarray(nearest[:, 0], dtype=np.int64)


def _degrees(graph: sparse.csr_matrix) -> NDArray[np.float64]:
    return np.asarray(graph.sum(axis=1), dtype=np.float64).ravel()
