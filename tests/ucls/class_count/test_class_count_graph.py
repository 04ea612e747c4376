import numpy as np
import pytest

from pipeline_lib.ucls.class_count.graph import neighbor_graph, spectral_embedding, spectral_partition


def unit_rows(count=60, dimension=5, seed=0):
    rows = np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def naive_graph(rows, neighbors):
    similarity = rows.astype(np.float64) @ rows.T
    np.fill_diagonal(similarity, -np.inf)
    directed = np.zeros_like(similarity)
    for row, order in enumerate(np.argsort(-similarity, axis=1)):
        directed[row, order[:neighbors]] = 1
    return (directed + directed.T) / 2


def test_graph_equals_the_naive_one():
    rows = unit_rows()
    assert np.array_equal(neighbor_graph(rows, 4).toarray(), naive_graph(rows, 4))


def test_duplicates_join_no_row_with_itself():
    rows = np.repeat(unit_rows(3), 20, axis=0)
    graph = neighbor_graph(rows, 5)
    assert not graph.diagonal().any()
    assert graph.sum() == 5 * len(rows)


def test_embedding_spans_the_leading_eigenvectors():
    graph = neighbor_graph(np.concatenate([unit_rows(40, seed=1), unit_rows(40, seed=2)]), 6)
    dense = graph.toarray()
    scale = 1 / np.sqrt(dense.sum(axis=1))
    values, vectors = np.linalg.eigh(scale[:, None] * dense * scale)
    got = spectral_embedding(graph, 3, seed=0)
    quotients = [float(column @ (scale[:, None] * dense * scale) @ column) for column in got.T]
    assert quotients == pytest.approx(values[::-1][:3], abs=1e-3)
    assert abs(float(got[:, 0] @ vectors[:, -1])) == pytest.approx(1, abs=1e-3)


def test_partition_finds_components():
    rows = np.zeros((60, 6), np.float32)
    part = np.repeat(np.arange(3), 20)
    rows[np.arange(60), 2 * part] = 1
    rows[:, 1::2] = 0.1 * np.random.default_rng(0).standard_normal((60, 3))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    embedding = spectral_embedding(neighbor_graph(rows, 8), 3, seed=0)
    labels = spectral_partition(embedding, 3, seed=0).labels
    assert len({(int(a), int(b)) for a, b in zip(part, labels, strict=True)}) == 3
