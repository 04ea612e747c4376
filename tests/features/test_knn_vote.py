import numpy as np
import pytest

from pipeline_lib.base.errors import UserError
from pipeline_lib.features.blocks import ArrayFeatures
from pipeline_lib.features.knn_vote import knn_classes, nearest_rows, unit_rows, weighted_vote


def naive_class(base, labels, query, k, temperature):
    """Class of one query, in float64."""
    base, query = base.astype(np.float64), query.astype(np.float64)
    similarity = base @ query / np.linalg.norm(base, axis=1) / np.linalg.norm(query)
    votes = np.zeros(labels.max() + 1)
    voting = np.flatnonzero(labels >= 0)
    for row in voting[np.argsort(-similarity[voting])[:k]]:
        votes[labels[row]] += np.exp(similarity[row] / temperature)
    return votes.argmax()


def overlapping(n, classes=4, d=6, seed=0):
    """Classes that overlap, so that the votes are divided; some are unknown."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=n).astype(np.int32)
    features = rng.standard_normal((classes, d))[labels] + rng.standard_normal((n, d))
    labels[rng.random(n) < 0.1] = -1
    return features.astype(np.float32), labels


@pytest.mark.parametrize("k", [1, 5, 20, 1000])
@pytest.mark.parametrize("temperature", [0.07, 1.0])
def test_classes_are_those_of_a_naive_version(k, temperature):
    features, labels = overlapping(350)
    base, queries = features[:200], features[200:]
    found = knn_classes(ArrayFeatures(base), labels[:200], ArrayFeatures(queries), k, temperature)
    assert found.tolist() == [naive_class(base, labels[:200], query, k, temperature) for query in queries]
    assert len(set(found.tolist())) > 1


def test_classes_with_equal_votes_give_the_lowest():
    base = np.array([[1, 0], [0, 1], [0, 1], [1, 0]], dtype=np.float32)
    query = ArrayFeatures(np.array([[2, 2], [3, 2.9]], dtype=np.float32))
    assert knn_classes(ArrayFeatures(base), np.array([5, 2, 2, 5]), query, k=4).tolist() == [2, 5]
    labels, similarity = np.array([[3, 1, 1, 3]]), np.full((1, 4), 0.5, dtype=np.float32)
    assert weighted_vote(labels, similarity, 4).tolist() == [1]


def test_near_neighbours_outvote_many_far_ones_and_similar_ones_are_counted():
    labels = np.array([[0, 1, 1], [0, 1, 1]])
    similarity = np.array([[0.9, 0.5, 0.5], [0.52, 0.5, 0.5]], dtype=np.float32)
    assert weighted_vote(labels, similarity, 2, 0.07).tolist() == [0, 1]
    assert weighted_vote(labels, similarity, 2, 1e-4).tolist() == [0, 0]


def test_blocks_of_searched_rows_do_not_show():
    train, held_out = overlapping(200)[0], overlapping(30, seed=1)[0]
    unit = held_out / np.linalg.norm(held_out, axis=1, keepdims=True)
    rows = np.arange(0, 200, 2)
    whole = nearest_rows(ArrayFeatures(train), rows, unit, 7)
    parts = nearest_rows(ArrayFeatures(train), rows, unit, 7, base_rows=9)
    np.testing.assert_array_equal(whole[0], parts[0])
    np.testing.assert_allclose(whole[1], parts[1], rtol=1e-6)
    direct = unit @ (train[rows] / np.linalg.norm(train[rows], axis=1, keepdims=True)).T
    np.testing.assert_array_equal(whole[0], np.argsort(-direct, axis=1)[:, :7])


def test_rows_of_zeros_stay_zeros_and_values_that_are_not_finite_are_refused():
    found = unit_rows(ArrayFeatures(np.array([[0, 0], [3, 4]])), np.array([1, 0]))
    np.testing.assert_allclose(found, [[0.6, 0.8], [0, 0]])
    with pytest.raises(UserError, match="features: NaN, infinite or very large values"):
        unit_rows(ArrayFeatures(np.array([[np.nan, 1.0]])), np.array([0]))


def test_without_a_known_class_nothing_votes():
    with pytest.raises(UserError, match="needs images with a known class"):
        knn_classes(ArrayFeatures(np.ones((2, 2))), np.array([-1, -1]), ArrayFeatures(np.ones((1, 2))))
