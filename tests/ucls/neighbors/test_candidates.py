import numpy as np
import pytest

from pipeline_lib.ucls.neighbors.adaptive import AdaptiveRule
from pipeline_lib.ucls.neighbors.candidates import Candidates


def test_zeros_of_either_sign_are_ties():
    candidates = Candidates(1, AdaptiveRule(-0.5, 1, 9))
    candidates.add(np.zeros(4), np.arange(4), np.array([-0.0, 0.0, -0.0, 0.1], dtype=np.float32), 4)
    assert candidates.lists().indices.tolist() == [3, 0, 1, 2]


def test_negative_similarities_are_ranked():
    candidates = Candidates(2, AdaptiveRule(-1.0, 1, 9))
    values = np.array([-0.7, -0.2, 0.3, -0.9, 0.8], dtype=np.float32)
    candidates.add(np.array([0, 0, 0, 1, 1]), np.array([0, 1, 2, 0, 1]), values, 3)
    found = candidates.lists()
    assert found.lengths.tolist() == [3, 2]
    assert found.indices.tolist() == [2, 1, 0, 1, 0]
    assert found.similarity.tolist() == pytest.approx([0.3, -0.2, -0.7, 0.8, -0.9])


def test_the_bound_is_the_threshold_the_k_min_th_or_the_last_of_a_full_list():
    similarity = np.array([0.9, 0.8, 0.7, 0.6, 0.5], dtype=np.float32)
    for rule, expected in (
        (AdaptiveRule(0.3, 2, 9), 0.3),
        (AdaptiveRule(0.95, 2, 9), 0.8),
        (AdaptiveRule(0.3, 2, 3), 0.7),
        (AdaptiveRule(0.3, 6, 9), -2),
    ):
        candidates = Candidates(1, rule)
        candidates.add(np.zeros(5), np.arange(5), similarity, 5)
        candidates.lists()
        assert candidates.bound[0] == np.float32(expected)


def test_similarities_past_one_are_rounding():
    candidates = Candidates(1, AdaptiveRule(0.5, 1, 9))
    candidates.add(np.zeros(1), np.arange(1), np.array([1.0000002], dtype=np.float32), 1)
    assert candidates.lists().similarity.tolist() == [1]
