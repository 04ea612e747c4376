import numpy as np
import pytest

from pipeline_lib.ucls.neighbors.adaptive import AdaptiveRule
from pipeline_lib.ucls.neighbors.candidates import Candidates
from pipeline_lib.ucls.neighbors.ranking import Packing


def test_zeros_of_either_sign_are_ties():
    candidates = Candidates(1, AdaptiveRule(-0.5, 1, 9), Packing(4))
    candidates.add(np.zeros(4, np.int64), np.arange(4), np.array([-0.0, 0.0, -0.0, 0.1], dtype=np.float32))
    assert candidates.lists().indices.tolist() == [3, 0, 1, 2]


def test_negative_similarities_are_ranked():
    candidates = Candidates(2, AdaptiveRule(-1.0, 1, 9), Packing(3))
    values = np.array([-0.7, -0.2, 0.3, -0.9, 0.8], dtype=np.float32)
    candidates.add(np.array([0, 0, 0, 1, 1]), np.array([0, 1, 2, 0, 1]), values)
    found = candidates.lists()
    assert found.lengths.tolist() == [3, 2]
    assert found.indices.tolist() == [2, 1, 0, 1, 0]
    assert found.similarity.tolist() == pytest.approx([0.3, -0.2, -0.7, 0.8, -0.9])


def test_similarities_past_one_are_rounding():
    candidates = Candidates(1, AdaptiveRule(0.5, 1, 9), Packing(1))
    candidates.add(np.zeros(1, np.int64), np.zeros(1, np.int64), np.array([1.0000002], dtype=np.float32))
    assert candidates.lists().similarity.tolist() == [1]


def test_what_was_reached_is_counted_also_where_it_is_dropped():
    candidates = Candidates(1, AdaptiveRule(0.5, 1, 2), Packing(100))
    for first in range(0, 100, 10):
        similarity = np.linspace(0.4, 0.9, 10, dtype=np.float32)
        candidates.add(np.zeros(10, np.int64), np.arange(first, first + 10), similarity)
    assert candidates.reached.tolist() == [80]
    assert candidates._held <= 14
    assert candidates.lists().indices.tolist() == [9, 19]


@pytest.mark.parametrize("columns", [1, 2, 1_281_167, 2**24])
def test_packing_keeps_all_three(columns):
    packing = Packing(columns)
    rng = np.random.default_rng(0)
    rows = rng.integers(packing.most_queries, size=1000)
    places = rng.integers(columns, size=1000)
    similarity = rng.uniform(-1, 1, 1000).astype(np.float32)
    keys = packing.pack(rows, places, similarity)
    for found, given in zip(packing.unpack(keys), (rows, places, similarity), strict=True):
        np.testing.assert_array_equal(found, given)
    order = np.lexsort((places, -similarity, rows))
    np.testing.assert_array_equal(np.sort(keys), keys[order])
    assert (keys < 2**63).all()
