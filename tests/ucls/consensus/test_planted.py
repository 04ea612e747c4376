import numpy as np
import pytest

from benchmarks.planted import class_shares, planted_ensemble


def test_shares_span_the_imbalance():
    shares = class_shares(10, 20.0)
    assert shares.sum() == pytest.approx(1)
    assert shares[0] / shares[-1] == pytest.approx(20)
    assert (class_shares(4, 1.0) == 0.25).all()


def test_heads_without_errors_are_renumbered_classes(same_partition):
    assignments, planted = planted_ensemble(500, 3, 7, flips=0, reshaped=0, seed=1)
    assert all(same_partition(head, planted) for head in assignments)
    assert (assignments[0] != assignments[1]).any()


def test_share_of_flips(accuracy):
    assignments, planted = planted_ensemble(20000, 2, 10, flips=0.2, reshaped=0, seed=2)
    assert accuracy(assignments[0], planted) == pytest.approx(1 - 0.2 * 0.9, abs=0.01)


def test_merged_and_split_classes():
    assignments, planted = planted_ensemble(9000, 1, 9, flips=0, reshaped=0.2, seed=3)
    pairs = np.zeros((9, 9), dtype=int)
    np.add.at(pairs, (assignments[0], planted), 1)
    assert sorted((pairs > 0).sum(axis=1)) == [1] * 7 + [2, 2]
    assert sorted((pairs > 0).sum(axis=0)) == [1] * 7 + [2, 2]


def test_confusions_are_common_to_the_heads():
    assignments, planted = planted_ensemble(4000, 20, 5, flips=0, reshaped=0, confused=0.5, seed=4)
    again, same = planted_ensemble(4000, 20, 5, flips=0, reshaped=0, confused=0.5, seed=4)
    np.testing.assert_array_equal(assignments, again)
    np.testing.assert_array_equal(planted, same)
    order = [np.bincount(planted * 5 + head, minlength=25).reshape(5, 5).argmax(axis=1) for head in assignments]
    wrong = np.stack([head != names[planted] for head, names in zip(assignments, order, strict=True)])
    assert (wrong.sum(axis=0) == 0).mean() > 0.5
    assert wrong.mean(axis=0).max() > 0.5
