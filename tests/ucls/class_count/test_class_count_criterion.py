import networkx
import numpy as np
import pytest
import scipy.sparse as sparse
from sklearn.metrics import silhouette_score

from pipeline_lib.ucls.class_count.criterion import cosine_silhouette, edge_excess


def random_graph(count=30, seed=0):
    weights = np.triu(np.random.default_rng(seed).random((count, count)) < 0.3, 1).astype(float)
    return sparse.csr_matrix(weights + weights.T)


def test_edge_excess_differs_from_modularity_by_the_root_alone():
    graph, labels = random_graph(), np.random.default_rng(1).integers(0, 4, 30)
    groups = [set(np.flatnonzero(labels == c).tolist()) for c in range(4)]
    modularity = networkx.community.modularity(networkx.from_scipy_sparse_array(graph), groups)
    degrees = np.asarray(graph.sum(axis=1)).ravel()
    chance = float(np.square(np.bincount(labels, weights=degrees) / degrees.sum()).sum())
    assert edge_excess(graph, labels, 4) == pytest.approx(modularity + chance - np.sqrt(chance), abs=1e-12)


def test_edge_excess_of_separate_equal_cliques_and_of_one_cluster():
    clique = np.ones((5, 5)) - np.eye(5)
    graph = sparse.csr_matrix(np.kron(np.eye(4), clique))
    assert edge_excess(graph, np.repeat(np.arange(4), 5), 4) == pytest.approx(1 - 0.5)
    assert edge_excess(graph, np.zeros(20, np.int64), 1) == pytest.approx(0)


@pytest.mark.parametrize("clusters", [2, 5, 20])
def test_silhouette_equals_that_of_pairwise_distances(clusters):
    rng = np.random.default_rng(clusters)
    vectors = rng.standard_normal((90, 7)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    labels = rng.integers(0, clusters, 90)
    labels[0] = clusters  # a cluster of one row
    assert (np.bincount(labels)[-1]) == 1
    got = cosine_silhouette(vectors, labels, clusters + 2)  # and an empty one
    assert got == pytest.approx(silhouette_score(vectors, labels, metric="cosine"), abs=1e-5)


def test_silhouette_of_one_cluster_and_of_equal_rows():
    vectors = np.ones((6, 1), np.float32)
    assert cosine_silhouette(vectors, np.zeros(6, np.int64), 3) == 0
    assert cosine_silhouette(vectors, np.arange(6) % 2, 2) == pytest.approx(0, abs=1e-6)
