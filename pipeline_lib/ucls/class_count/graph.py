"""A graph of nearest neighbours, and its spectral embedding (Ng, Jordan and Weiss 2001)."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import faiss
import numpy as np
import scipy.sparse as sparse
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.extmath import randomized_svd

_POWER_ITERATIONS = 10
_OVERSAMPLES = 20
_ITERATIONS = 50


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

    Found by subspace iteration (Halko, Martinsson and Tropp 2011): classes that lie apart make the eigenvalue 1
    several times, of which a method that starts from a single vector misses some.

    Args:
        graph: Symmetric weights (n, n), every row with at least one.
        dimensions: Eigenvectors, at most n.
        seed: Seed of the first subspace.

    Returns:
        The eigenvectors as columns, by falling eigenvalue, (n, dimensions) float32.
    """
    count = graph.shape[0]
    scale = sparse.diags(1 / np.sqrt(np.asarray(graph.sum(axis=1), dtype=np.float64).ravel()))
    # Half of it plus one half: eigenvalues from 0 to 1 in the same order, so that singular vectors are eigenvectors.
    shifted = (scale @ graph @ scale + sparse.identity(count)) / 2
    vectors, _, _ = randomized_svd(
        shifted, dimensions, n_oversamples=_OVERSAMPLES, n_iter=_POWER_ITERATIONS, random_state=seed
    )
    return np.ascontiguousarray(vectors, dtype=np.float32)


class Partition(NamedTuple):
    """A partition by k-means.

    Attributes:
        labels: Cluster of each row, (n,) int64, 0 to K - 1.
        inertia: Sum of squared distances to the cluster centres.
    """

    labels: NDArray[np.int64]
    inertia: float


def spectral_partition(embedding: NDArray[np.float32], clusters: int, seed: int) -> Partition:
    """Partition by k-means on the leading columns of the embedding, rows brought to length one.

    Args:
        embedding: What :func:`spectral_embedding` gave, (n, m).
        clusters: Clusters K; as many columns are used, or all m where there are fewer.
        seed: Seed of the first centres (k-means++).

    Returns:
        The partition of one start.
    """
    rows = embedding[:, : min(clusters, embedding.shape[1])]
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    rows = np.ascontiguousarray(np.divide(rows, length, out=np.zeros_like(rows), where=length > 0))
    with warnings.catch_warnings():
        # Fewer distinct rows than clusters leave clusters empty, which the score allows for.
        warnings.simplefilter("ignore", ConvergenceWarning)
        fit = KMeans(clusters, n_init=1, max_iter=_ITERATIONS, random_state=seed).fit(rows)
    return Partition(np.asarray(fit.labels_, dtype=np.int64), float(fit.inertia_))
