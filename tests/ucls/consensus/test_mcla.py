import numpy as np
import pytest

from benchmarks.planted import planted_ensemble
from pipeline_lib.ucls.consensus.association import strongest_group
from pipeline_lib.ucls.consensus.hypergraph import find_hyperedges
from pipeline_lib.ucls.consensus.mcla import collapse_and_assign, mcla
from pipeline_lib.ucls.consensus.settings import ConsensusSettings
from pipeline_lib.ucls.consensus.vote import vote


@pytest.mark.parametrize("case", ["tiny", "medium"])
def test_second_half_equals_the_reference(golden, case):
    reference = golden(f"08_consensus_{case}")
    assignments, classes = reference["in_labels"], int(reference["in_k"])
    edges = find_hyperedges(assignments)
    association, clear = reference["out_gg_mcla_association_r0"], ~reference["out_gg_mcla_tie_r0"]
    found = collapse_and_assign(assignments, edges, reference["out_gg_mcla_meta_r0"], classes, (0,))
    np.testing.assert_array_equal(found.labels[clear], association.argmax(axis=0)[clear])
    np.testing.assert_allclose(found.confidence, association.max(axis=0) / association.sum(axis=0), rtol=1e-6)
    tied = association[found.labels, np.arange(len(found.labels))]
    np.testing.assert_allclose(tied, association.max(axis=0), rtol=1e-12)


@pytest.mark.parametrize("case", ["tiny", "medium"])
def test_unweighted_counts_equal_the_other_reference(golden, case):
    reference = golden(f"08_consensus_{case}")
    assignments, meta = reference["in_labels"], reference["out_ts_mcla_meta_r0"].astype(np.int64)
    association, clear = reference["out_ts_mcla_association_r0"], ~reference["out_ts_mcla_tie_r0"]
    group_of = [np.where(rows >= 0, meta[rows], 0) for rows in find_hyperedges(assignments).row_of]
    labels, share = strongest_group(assignments, group_of, np.ones(len(association)), (0,))
    np.testing.assert_array_equal(labels[clear], association.argmax(axis=0)[clear])
    np.testing.assert_allclose(share, association.max(axis=0) / len(assignments), rtol=1e-6)


def test_ties_are_broken_by_chance_and_seed():
    assignments = np.stack([np.zeros(4000, dtype=np.int16), np.ones(4000, dtype=np.int16)])
    group_of = [np.array([0, 1, 2])] * 2
    labels, share = strongest_group(assignments, group_of, np.ones(3), (5,))
    assert set(labels) == {0, 1}
    assert abs((labels == 0).mean() - 0.5) < 0.05
    assert (share == 0.5).all()
    np.testing.assert_array_equal(labels, strongest_group(assignments, group_of, np.ones(3), (5,))[0])
    assert (labels != strongest_group(assignments, group_of, np.ones(3), (6,))[0]).any()


def test_strongest_group_equals_a_naive_count():
    generator = np.random.default_rng(0)
    assignments = generator.integers(6, size=(9, 400))
    group_of = [generator.integers(5, size=6) for _ in range(9)]
    weight = generator.random(5) + 0.5
    expected = np.zeros((5, 400))
    for head in range(9):
        for image in range(400):
            expected[group_of[head][assignments[head, image]], image] += 1
    expected *= weight[:, None]
    labels, share = strongest_group(assignments, group_of, weight, (0,))
    np.testing.assert_array_equal(labels, expected.argmax(axis=0))
    np.testing.assert_allclose(share, expected.max(axis=0) / expected.sum(axis=0), rtol=1e-6)


def test_unit_weights_are_right_for_unbalanced_classes(accuracy):
    assignments, planted = planted_ensemble(6000, 30, 10, confused=0.35, imbalance=20, seed=4)
    edges = find_hyperedges(assignments, "first")
    unit = accuracy(mcla(assignments, edges, 10, ConsensusSettings(), 0).labels, planted)
    size = accuracy(mcla(assignments, edges, 10, ConsensusSettings(vertex_weight="size"), 0).labels, planted)
    oracle = accuracy(vote(assignments, edges, planted, 10, 0).labels, planted)
    assert unit > oracle - 0.01
    assert unit > size + 0.03


def test_heads_that_merge_other_classes_give_all_classes(accuracy):
    generator = np.random.default_rng(5)
    planted = generator.integers(8, size=2000)
    heads = []
    for _ in range(30):
        merged = np.arange(8)
        kept, lost = generator.permutation(8)[:2]
        merged[lost] = kept
        heads.append(merged[planted])
    assignments = np.stack(heads)
    found = mcla(assignments, find_hyperedges(assignments, "first"), 8, ConsensusSettings(), 0)
    assert accuracy(found.labels, planted) > 0.99
    assert found.note == "8 meta-clusters"
