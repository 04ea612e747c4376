import numpy as np
import pytest

from benchmarks.planted import planted_ensemble
from pipeline_lib.ucls.consensus.hypergraph import find_hyperedges
from pipeline_lib.ucls.consensus.similarity import coassociation, exact_neighbor_graph, sampled_neighbor_graph


def test_coassociation_equals_the_reference(golden):
    tiny, medium = golden("08_consensus_tiny"), golden("08_consensus_medium")
    counts = coassociation(tiny["in_labels"], slice(0, 60))
    np.testing.assert_array_equal(counts, tiny["out_coassociation_counts"])
    np.testing.assert_array_equal(
        coassociation(medium["in_labels"], slice(0, 20)), medium["out_coassociation_first20rows"]
    )
    scaled = np.rint(counts * 1e8 / counts.sum()).astype(np.int64)
    np.fill_diagonal(scaled, 0)
    np.testing.assert_array_equal(scaled, tiny["out_gg_cspa_edge_weights"])


def test_exact_graph_keeps_the_most_similar_images():
    assignments, _ = planted_ensemble(120, 10, 4, seed=1)
    counts = coassociation(assignments, slice(0, 120)).astype(int)
    np.fill_diagonal(counts, 0)
    graph = exact_neighbor_graph(assignments, 5, seed=0).toarray()
    for image in range(120):
        kept = np.flatnonzero(graph[image])
        assert len(kept) == 5
        assert (graph[image, kept] == counts[image, kept]).all()
        assert sorted(counts[image, kept]) == sorted(counts[image])[-5:]


def test_exact_graph_spreads_over_equal_images():
    same = np.zeros((3, 200), dtype=np.int16)
    graph = exact_neighbor_graph(same, 5, seed=0).toarray()
    assert ((graph > 0).sum(axis=0) > 0).mean() > 0.9


@pytest.mark.parametrize("draws", [1, 3])
def test_sampled_counts_are_exact_and_images_share_a_cluster(draws):
    assignments, _ = planted_ensemble(300, 8, 5, seed=2)
    edges = find_hyperedges(assignments)
    counts = coassociation(assignments, slice(0, 300)).astype(int)
    np.fill_diagonal(counts, 0)
    graph = sampled_neighbor_graph(assignments, edges, 6, draws, seed=0).toarray()
    assert (graph[graph > 0] == counts[graph > 0]).all()
    assert ((graph > 0).sum(axis=1) <= 6).all()
    assert (graph > 0).sum(axis=1).mean() > 4


def test_sampled_graph_does_not_depend_on_row_blocks(monkeypatch):
    assignments, _ = planted_ensemble(200, 6, 5, seed=3)
    edges = find_hyperedges(assignments)
    whole = sampled_neighbor_graph(assignments, edges, 6, 2, seed=0)
    monkeypatch.setitem(sampled_neighbor_graph.__globals__, "_BLOCK_ENTRIES", 6 * 6 * 2 * 17)
    blocks = sampled_neighbor_graph(assignments, edges, 6, 2, seed=0)
    assert (whole != blocks).nnz == 0


def test_lone_images_have_no_neighbours():
    assignments = np.array([[0, 0, 1], [0, 0, 2]])
    edges = find_hyperedges(assignments)
    for graph in (exact_neighbor_graph(assignments, 2, 0), sampled_neighbor_graph(assignments, edges, 2, 9, 0)):
        assert graph.toarray().tolist() == [[0, 2, 0], [2, 0, 0], [0, 0, 0]]
    one = np.array([[0]])
    assert exact_neighbor_graph(one, 2, 0).nnz == sampled_neighbor_graph(one, find_hyperedges(one), 2, 1, 0).nnz == 0
