import numpy as np
import pytest

from benchmarks.planted import planted_ensemble
from pipeline_lib.base.errors import UserError
from pipeline_lib.ucls.consensus.ensemble import build_consensus
from pipeline_lib.ucls.consensus.hypergraph import find_hyperedges
from pipeline_lib.ucls.consensus.mcla import mcla
from pipeline_lib.ucls.consensus.settings import ConsensusSettings
from pipeline_lib.ucls.consensus.vote import align_clusters, align_heads, head_agreement, soft_vote, vote


def test_alignment_is_one_to_one_before_it_is_greedy():
    assert align_clusters(np.array([[5, 4], [5, 0]])).tolist() == [1, 0]


def test_left_over_clusters_take_their_largest_overlap():
    assert align_clusters(np.array([[9, 0], [0, 8], [1, 3]])).tolist() == [0, 1, 1]
    assert align_clusters(np.array([[9, 0], [4, 0]])).tolist() == [0, 0]


def test_alignment_undoes_numbering(renumbered):
    planted = np.random.default_rng(0).integers(6, size=300)
    assignments = renumbered(np.stack([planted] * 4), 1)
    edges = find_hyperedges(assignments)
    for head, translation in enumerate(align_heads(assignments, edges, planted, 6)):
        np.testing.assert_array_equal(translation[assignments[head]], planted)


def test_agreement_is_the_share_of_heads():
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2])
    wrong = labels.copy()
    wrong[0] = 1
    assignments = np.stack([labels, 2 - labels, wrong, wrong])
    agreement = head_agreement(assignments, find_hyperedges(assignments), labels, 3)
    assert agreement.dtype == np.float32
    assert agreement.tolist() == [0.5] + [1.0] * 11


def test_vote_takes_the_majority():
    labels = np.repeat([0, 1, 2], 10)
    noisy = np.stack([labels] * 5)
    noisy[0, 0], noisy[1, 0], noisy[2, 10] = 1, 1, 2
    found = vote(noisy, find_hyperedges(noisy), labels, 3, 0)
    np.testing.assert_array_equal(found.labels, labels)
    np.testing.assert_allclose(found.confidence[[0, 10, 20]], [0.6, 0.8, 1.0], rtol=1e-6)


@pytest.mark.parametrize("seed", [0, 1])
def test_vote_from_mcla_beats_vote_from_a_head_that_merges(accuracy, seed):
    assignments, planted = planted_ensemble(5000, 20, 20, reshaped=0.2, seed=seed)
    edges = find_hyperedges(assignments, "first")
    start = mcla(assignments, edges, 20, ConsensusSettings(), 0).labels
    from_mcla = accuracy(vote(assignments, edges, start, 20, 0).labels, planted)
    from_head = accuracy(vote(assignments, edges, assignments[0], 20, 0).labels, planted)
    assert from_mcla > 0.99
    assert from_head < from_mcla - 0.03


def test_soft_vote_takes_the_most_probable_class_and_says_how_probable():
    rng = np.random.default_rng(0)
    probability = rng.dirichlet(np.ones(5), 1000).astype(np.float16)
    found = soft_vote(probability)
    np.testing.assert_array_equal(found.labels, probability.argmax(axis=1))
    np.testing.assert_allclose(found.confidence, probability.max(axis=1))


def test_soft_vote_without_aligned_heads_says_what_it_needs():
    heads = np.stack([np.arange(60) % 3, (np.arange(60) + 1) % 3]).astype(np.int32)
    result = build_consensus(heads, 3, methods=("vote", "soft_vote"))
    assert "train_heads.alignment" in result.methods["soft_vote"].skipped
    with pytest.raises(UserError, match=r"assign\.probabilities = mean"):
        build_consensus(heads, 3, methods=("vote", "soft_vote"), choose="soft_vote")
