import numpy as np
import pytest

from pipeline_lib.base.errors import UserError
from pipeline_lib.ucls.bounds.upper_bound_knn import upper_bound_knn


def naive_classes(train, train_labels, held_out, k, temperature):
    """One image after the other, in float64."""
    found = []
    known = np.flatnonzero(train_labels >= 0)
    for x in held_out.astype(np.float64):
        similarity = {
            row: (train[row].astype(np.float64) @ x) / np.linalg.norm(train[row].astype(np.float64)) / np.linalg.norm(x)
            for row in known
        }
        votes = {}
        for row in sorted(known, key=lambda row: -similarity[row])[:k]:
            votes[train_labels[row]] = votes.get(train_labels[row], 0) + np.exp(similarity[row] / temperature)
        found.append(max(votes, key=votes.get))
    return found


def noisy(n, m, classes=4, d=6, seed=0):
    """Classes that overlap, so that the votes are divided; some labels are unknown."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=n + m).astype(np.int32)
    features = (rng.standard_normal((classes, d))[labels] + rng.standard_normal((n + m, d))).astype(np.float32)
    labels[rng.random(n + m) < 0.1] = -1
    return features[:n], labels[:n], features[n:], labels[n:]


@pytest.mark.parametrize("k", [1, 5, 20])
@pytest.mark.parametrize("temperature", [0.07, 1.0])
def test_classes_are_those_of_a_naive_version(as_features, k, temperature):
    train, train_labels, held_out, labels = noisy(200, 150)
    found = upper_bound_knn(as_features(train), train_labels, as_features(held_out), k, temperature)
    assert found.tolist() == naive_classes(train, train_labels, held_out, k, temperature)
    assert 0.3 < (found == labels)[labels >= 0].mean() < 0.95


def test_no_more_neighbours_vote_than_a_class_has_images(as_features):
    train, train_labels, held_out, _ = noisy(24, 100)
    per_class = (train_labels >= 0).sum() // len(np.unique(train_labels[train_labels >= 0]))
    assert per_class < 20
    found = upper_bound_knn(as_features(train), train_labels, as_features(held_out), 20, 1.0).tolist()
    assert found == naive_classes(train, train_labels, held_out, per_class, 1.0)
    assert found != naive_classes(train, train_labels, held_out, 20, 1.0)


def test_unknown_classes_and_bad_features_are_refused(as_features):
    train, train_labels, held_out, _ = noisy(30, 20)
    with pytest.raises(UserError, match="known class"):
        upper_bound_knn(as_features(train), np.full_like(train_labels, -1), as_features(held_out))
    train[3, 0] = np.inf
    with pytest.raises(UserError, match="finite"):
        upper_bound_knn(as_features(train), np.zeros(30, dtype=np.int32), as_features(held_out))
