import numpy as np
import pytest

from benchmarks.planted import planted_ensemble
from pipeline_lib.ucls.consensus.cspa import cspa, mean_coassociation, merge_groups
from pipeline_lib.ucls.consensus.hypergraph import find_hyperedges
from pipeline_lib.ucls.consensus.settings import ConsensusSettings, MethodSkippedError
from pipeline_lib.ucls.consensus.similarity import coassociation


def test_mean_coassociation_is_the_average_over_all_pairs():
    assignments, _ = planted_ensemble(90, 6, 4, seed=0)
    groups = np.random.default_rng(0).integers(5, size=90).astype(np.int32)
    counts = coassociation(assignments, slice(0, 90)) / 6
    expected = [[counts[np.ix_(groups == a, groups == b)].mean() for b in range(5)] for a in range(5)]
    found = mean_coassociation(assignments, find_hyperedges(assignments), groups, 5)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_pieces_of_a_class_are_merged(same_partition):
    planted = np.repeat(np.arange(4), [10, 20, 30, 140])
    assignments = np.stack([planted, 3 - planted])
    pieces = (np.arange(200) // 10).astype(np.int32)
    merged = merge_groups(assignments, find_hyperedges(assignments), pieces, 4)
    assert same_partition(merged, planted)


@pytest.mark.slow
@pytest.mark.parametrize("exact_limit", [10_000, 0])
def test_unbalanced_classes_need_merging(accuracy, exact_limit):
    assignments, planted = planted_ensemble(3000, 30, 10, imbalance=20, seed=1)
    edges = find_hyperedges(assignments, "first")
    both = cspa(assignments, edges, 10, ConsensusSettings(cspa_exact_limit=exact_limit), 0)
    plain = ConsensusSettings(cspa_exact_limit=exact_limit, cspa_over_partition=(1,))
    assert accuracy(both.labels, planted) > 0.9
    assert accuracy(cspa(assignments, edges, 10, plain, 0).labels, planted) < 0.7
    assert both.note.endswith("40 parts, merged")
    assert both.note.startswith("all pairs" if exact_limit else "sampled pairs")


@pytest.mark.parametrize("exact_limit", [10_000, 0])
def test_balanced_classes_need_none(accuracy, exact_limit):
    assignments, planted = planted_ensemble(3000, 30, 10, confused=0.35, seed=2)
    settings = ConsensusSettings(cspa_exact_limit=exact_limit)
    found = cspa(assignments, find_hyperedges(assignments, "first"), 10, settings, 0)
    assert found.note.endswith("; 10 parts")
    assert accuracy(found.labels, planted) > 0.87


def test_group_limit_bounds_the_parts():
    assignments, _ = planted_ensemble(1000, 20, 10, imbalance=20, seed=3)
    settings = ConsensusSettings(cspa_group_limit=25, cspa_over_partition=(4,))
    assert cspa(assignments, find_hyperedges(assignments, "first"), 10, settings, 0).note.endswith("25 parts, merged")


def test_cspa_is_skipped_above_its_limit_of_images():
    assignments, _ = planted_ensemble(90, 6, 4, seed=0)
    edges = find_hyperedges(assignments, "first")
    with pytest.raises(MethodSkippedError, match="90 images, above cspa_image_limit = 89"):
        cspa(assignments, edges, 4, ConsensusSettings(cspa_image_limit=89), 0)
    at_the_limit = cspa(assignments, edges, 4, ConsensusSettings(cspa_image_limit=90), 0)
    np.testing.assert_array_equal(at_the_limit.labels, cspa(assignments, edges, 4, ConsensusSettings(), 0).labels)
