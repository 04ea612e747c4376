import importlib.util

import numpy as np
import pytest

from benchmarks.planted import planted_ensemble
from pipeline_lib.ucls.consensus.hgpa import hgpa, star_expansion
from pipeline_lib.ucls.consensus.hypergraph import find_hyperedges, incidence
from pipeline_lib.ucls.consensus.settings import ConsensusSettings, MethodSkippedError

HAS_MTKAHYPAR = importlib.util.find_spec("mtkahypar") is not None


def test_star_joins_images_to_their_clusters_with_equal_total_weight():
    assignments = np.array([[0, 0, 1, 1, 1, 1], [0, 1, 0, 1, 0, 1]])
    members = incidence(assignments, find_hyperedges(assignments))
    graph = star_expansion(members).toarray()
    assert graph.shape == (10, 10)
    assert not graph[:6].any()
    assert not graph[:, 6:].any()
    np.testing.assert_array_equal(graph[6:, :6] > 0, members.toarray())
    np.testing.assert_allclose(graph[6:].sum(axis=1), 2**16, atol=6)


@pytest.mark.parametrize("tool", ["metis", "mtkahypar"])
def test_clear_classes_are_found_in_balanced_parts(tool, accuracy):
    if tool == "mtkahypar" and not HAS_MTKAHYPAR:
        pytest.skip("mtkahypar, an optional package, is not installed")
    assignments, planted = planted_ensemble(500, 10, 5, flips=0.01, reshaped=0, seed=0)
    edges = find_hyperedges(assignments, "first")
    settings = ConsensusSettings(hgpa_tool=tool)
    found = hgpa(assignments, edges, 5, settings, 0)
    assert accuracy(found.labels, planted) == 1.0
    assert np.bincount(found.labels).max() <= 106
    assert tool in found.note
    np.testing.assert_array_equal(found.labels, hgpa(assignments, edges, 5, settings, 0).labels)


def test_too_many_pins_are_skipped_with_the_numbers():
    assignments, _ = planted_ensemble(100, 10, 5)
    with pytest.raises(MethodSkippedError, match="1000 pins, above hgpa_pin_limit = 999"):
        hgpa(assignments, find_hyperedges(assignments), 5, ConsensusSettings(hgpa_pin_limit=999), 0)
    hgpa(assignments, find_hyperedges(assignments), 5, ConsensusSettings(hgpa_pin_limit=1000), 0)


@pytest.mark.skipif(HAS_MTKAHYPAR, reason="mtkahypar is installed")
def test_absent_tool_is_named():
    assignments, _ = planted_ensemble(100, 4, 5)
    with pytest.raises(MethodSkippedError, match="mtkahypar"):
        hgpa(assignments, find_hyperedges(assignments), 5, ConsensusSettings(hgpa_tool="mtkahypar"), 0)
