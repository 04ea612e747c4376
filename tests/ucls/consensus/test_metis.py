import numpy as np
import pytest
import scipy.sparse as sp

from pipeline_lib.ucls.consensus.metis import partition_graph, symmetric_graph


def cliques(count, size):
    return sp.csr_matrix(np.kron(np.eye(count, dtype=np.int64), np.ones((size, size), dtype=np.int64)))


def test_cliques_are_the_parts():
    labels = partition_graph(cliques(4, 10), 4, seed=0)
    assert all(len(set(labels[start : start + 10])) == 1 for start in range(0, 40, 10))
    assert len(set(labels)) == 4


def test_directions_are_merged_and_loops_dropped():
    graph = symmetric_graph(sp.csr_matrix(np.array([[9, 2, 0], [1, 0, 0], [0, 4, 0]])))
    assert graph.toarray().tolist() == [[0, 2, 0], [2, 0, 4], [0, 4, 0]]


def test_one_part_and_more_parts_than_vertices():
    assert partition_graph(cliques(2, 2), 1, seed=0).tolist() == [0, 0, 0, 0]
    assert sorted(partition_graph(cliques(2, 2), 9, seed=0)) == [0, 1, 2, 3]


def test_graph_without_edges_is_spread_evenly():
    labels = partition_graph(sp.csr_matrix((10, 10), dtype=np.int64), 3, seed=0)
    assert sorted(np.bincount(labels)) == [3, 3, 4]


def test_isolated_vertices_go_to_the_lightest_parts():
    graph = sp.block_diag([cliques(2, 10), sp.csr_matrix((6, 6), dtype=np.int64)]).tocsr()
    labels = partition_graph(graph, 2, seed=0)
    assert np.bincount(labels).tolist() == [13, 13]
    assert len(set(labels[:10])) == len(set(labels[10:20])) == 1


def test_vertex_weights_decide_the_balance():
    chain = sp.diags([np.ones(29, dtype=np.int64)], [1], shape=(30, 30), dtype=np.int64).tocsr()
    weights = np.array([10] * 10 + [1] * 20)
    labels = partition_graph(chain, 2, seed=0, vertex_weights=weights)
    loads = np.bincount(labels, weights=weights)
    assert loads.max() <= 66  # 60 each, plus less than one heavy vertex
    assert np.bincount(partition_graph(chain, 2, seed=0)).tolist() == [15, 15]


def random_graph():
    graph = sp.random(300, 300, 0.05, random_state=0, format="csr")
    graph.data = np.ceil(graph.data * 9)
    return symmetric_graph(graph.astype(np.int64))


@pytest.mark.parametrize("parts", [4, 12])
def test_same_seed_same_parts_and_another_seed_other_parts(parts):
    graph = random_graph()
    first = partition_graph(graph, parts, seed=3, runs=3)
    np.testing.assert_array_equal(first, partition_graph(graph, parts, seed=3, runs=3))
    assert (first != partition_graph(graph, parts, seed=4, runs=3)).any()


def test_more_runs_never_cut_more():
    graph = random_graph()
    cuts = []
    for runs in (1, 2, 8):
        labels = partition_graph(graph, 12, seed=0, runs=runs)
        row, column = graph.nonzero()
        cuts.append(graph.data[labels[row] != labels[column]].sum())
    assert cuts[0] >= cuts[1] >= cuts[2]
    assert cuts[0] > cuts[2]


@pytest.mark.parametrize(
    ("weights", "parts", "vertex_weights"),
    [
        (sp.csr_matrix(np.array([[0, -1], [-1, 0]])), 2, None),
        (sp.csr_matrix(np.array([[0.5, 1.0], [1.0, 0.5]])), 2, None),
        (sp.csr_matrix((2, 3), dtype=np.int64), 2, None),
        (cliques(2, 2), 0, None),
        (cliques(2, 2), 2, np.array([1, 1, 1])),
        (cliques(2, 2), 2, np.array([1, 1, 1, -1])),
    ],
)
def test_what_metis_would_take_without_a_word_is_refused(weights, parts, vertex_weights):
    with pytest.raises(ValueError, match=r"graph|part"):
        partition_graph(weights, parts, seed=0, vertex_weights=vertex_weights)
