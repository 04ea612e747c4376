"""How well a partition fits the data: edges that stay inside clusters, and the silhouette.

Both are between -1 and 1, and a weighted sum of them is the score of a candidate. Each makes up for a weakness of the
other: the graph sees neighbours only, so that a class of two distant parts costs it nothing to split; the silhouette
sees all distances, but is highest for two clusters where classes overlap.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sparse
from numpy.typing import NDArray


def memberships(labels: NDArray[np.int64], clusters: int) -> sparse.csr_matrix:
    """Indicator matrix (n, K) of labels (n,) from 0 to K - 1."""
    count = len(labels)
    return sparse.csr_matrix((np.ones(count), (np.arange(count), labels)), (count, clusters))


def edge_excess(graph: sparse.csr_matrix, labels: NDArray[np.int64], clusters: int) -> float:
    """Share of edges inside clusters, less the root of what chance gives.

    With e the share of the edge weight inside clusters and a_c the share of edge ends in cluster c, this is
    e - sqrt(sum a_c^2). Modularity (Newman and Girvan 2004) is e - sum a_c^2; its second term falls so fast with the
    number of clusters that many small ones are merged (the resolution limit; Fortunato and Barthelemy 2007). The root
    keeps a reward for splitting them: 1/sqrt(K) in place of 1/K for equal clusters.

    Args:
        graph: Symmetric weights (n, n).
        labels: Cluster of each row, (n,), 0 to K - 1.
        clusters: Number of clusters K.

    Returns:
        A value in [-1, 1).
    """
    indicator = memberships(labels, clusters)
    ends = np.asarray(graph.sum(axis=1)).ravel()
    total = float(ends.sum())
    inside = float((indicator.T @ graph @ indicator).diagonal().sum()) / total
    share = np.bincount(labels, weights=ends, minlength=clusters) / total
    return inside - float(np.sqrt(np.square(share).sum()))


def cosine_silhouette(vectors: NDArray[np.float32], labels: NDArray[np.int64], clusters: int) -> float:
    """Mean silhouette (Rousseeuw 1987) with cosine distance, of all rows and without a matrix of distances.

    The mean cosine distance of a row to a cluster is one less its inner product with the cluster's mean vector.

    Args:
        vectors: Rows of length one, (n, d).
        labels: Cluster of each row, (n,), 0 to K - 1.
        clusters: Number of clusters K.

    Returns:
        A value in [-1, 1]; a row that is alone in its cluster counts 0, and all do where one cluster has every row.
    """
    sizes = np.bincount(labels, minlength=clusters)
    if (sizes > 0).sum() < 2:
        return 0.0
    sums = memberships(labels, clusters).T @ vectors.astype(np.float64)  # (K, d)
    products = vectors @ sums.T  # (n, K)
    rows, own = np.arange(len(labels)), sizes[labels]
    alone = own == 1
    squares = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)
    within = 1 - (products[rows, labels] - squares) / np.where(alone, 1, own - 1)
    other = np.where(sizes > 0, 1 - products / np.maximum(sizes, 1), np.inf)  # (n, K)
    other[rows, labels] = np.inf
    nearest = other.min(axis=1)
    width = np.maximum(np.maximum(within, nearest), np.finfo(np.float64).tiny)
    return float(np.where(alone, 0.0, (nearest - within) / width).mean())
