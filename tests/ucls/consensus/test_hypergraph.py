import numpy as np
import pytest

from pipeline_lib.base.errors import UserError
from pipeline_lib.ucls.consensus import hypergraph
from pipeline_lib.ucls.consensus.hypergraph import find_hyperedges, incidence, jaccard_graph


@pytest.mark.parametrize("case", ["tiny", "medium"])
def test_incidence_and_jaccard_equal_the_reference(golden, case):
    reference = golden(f"08_consensus_{case}")
    assignments = reference["in_labels"]
    edges = find_hyperedges(assignments)
    matrix = incidence(assignments, edges)
    assert matrix.dtype == np.uint8
    np.testing.assert_array_equal(matrix.toarray(), reference["out_incidence"])
    jaccard = jaccard_graph(assignments, edges).toarray()
    expected = reference["out_jaccard"].copy()
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(jaccard, expected, rtol=1e-14, atol=0)
    rounded = np.rint(100 * jaccard)
    np.testing.assert_array_equal(rounded, reference["out_gg_mcla_edge_weights"])


def test_unused_ids_have_no_hyperedge():
    assignments = np.array([[3, 3, 0, 5], [1, 1, 1, 1]])
    edges = find_hyperedges(assignments)
    assert edges.cluster.tolist() == [0, 3, 5, 1]
    assert edges.head.tolist() == [0, 0, 0, 1]
    assert edges.size.tolist() == [1, 2, 1, 4]
    assert edges.row_of[0].tolist() == [0, -1, -1, 1, -1, 2]
    assert edges.row_of[1].tolist() == [-1, 3]


def test_order_by_first_image_is_blind_to_numbering(renumbered):
    assignments = np.random.default_rng(0).integers(7, size=(4, 50))
    other = renumbered(assignments, 1)
    first, second = find_hyperedges(assignments, "first"), find_hyperedges(other, "first")
    np.testing.assert_array_equal(incidence(assignments, first).toarray(), incidence(other, second).toarray())
    assert (incidence(assignments, first).toarray() != incidence(assignments, find_hyperedges(assignments))).any()


def test_first_image_is_found_across_row_blocks(monkeypatch):
    assignments = np.random.default_rng(1).integers(9, size=(3, 100))
    whole = find_hyperedges(assignments, "first")
    monkeypatch.setattr(hypergraph, "ROW_BLOCK", 7)
    blocks = find_hyperedges(assignments, "first")
    np.testing.assert_array_equal(whole.cluster, blocks.cluster)
    np.testing.assert_array_equal(whole.size, blocks.size)


def test_jaccard_minimum_leaves_edges_out():
    assignments = np.random.default_rng(2).integers(5, size=(6, 200))
    edges = find_hyperedges(assignments)
    everything = jaccard_graph(assignments, edges).toarray()
    assert (np.where(everything >= 0.12, everything, 0) == jaccard_graph(assignments, edges, 0.12).toarray()).all()
    assert 0 < (everything >= 0.12).sum() < (everything > 0).sum()


@pytest.mark.parametrize(
    ("assignments", "word"),
    [
        (np.zeros(4, dtype=int), "heads, images"),
        (np.zeros((0, 4), dtype=int), "heads, images"),
        (np.zeros((2, 0), dtype=int), "heads, images"),
        (np.zeros((2, 4)), "integer"),
        (np.array([[0, -1]]), "-1"),
        (np.array([[0, 10**9]]), "1000000000"),
    ],
)
def test_unusable_assignments_are_refused(assignments, word):
    with pytest.raises(UserError, match=word):
        find_hyperedges(assignments)
