from itertools import permutations

import numpy as np
import pytest

from pipeline_lib.base.errors import UserError
from pipeline_lib.ucls.evaluation.matching import (
    balanced_accuracy,
    clustering_accuracy,
    contingency_table,
)


def brute_force_matches(true, predicted):
    classes, clusters = sorted(set(true)), sorted(set(predicted))
    short, long = (classes, clusters) if len(classes) <= len(clusters) else (clusters, classes)
    best = 0
    for chosen in permutations(long, len(short)):
        pairs = set(zip(short, chosen, strict=True))
        if len(classes) > len(clusters):
            pairs = {(b, a) for a, b in pairs}
        best = max(best, sum((t, p) in pairs for t, p in zip(true, predicted, strict=True)))
    return best


@pytest.mark.parametrize(("classes", "clusters"), [(3, 3), (2, 5), (5, 2), (4, 1), (1, 4)])
def test_accuracy_is_that_of_the_best_of_all_matchings(classes, clusters):
    rng = np.random.default_rng(classes * 10 + clusters)
    for _ in range(10):
        true, predicted = rng.integers(classes, size=17), rng.integers(clusters, size=17)
        expected = brute_force_matches(true.tolist(), predicted.tolist()) / 17
        assert clustering_accuracy(contingency_table(true, predicted)) == pytest.approx(expected, abs=1e-12)


def test_table_takes_any_integer_ids():
    table = contingency_table(np.array([-7, -7, 10**12, 5]), np.array([900, 900, 3, 900], dtype=np.int32))
    assert table.classes.tolist() == [-7, 5, 10**12]
    assert table.clusters.tolist() == [3, 900]
    assert table.counts.tolist() == [[0, 2], [0, 1], [1, 0]]
    assert clustering_accuracy(table) == pytest.approx(3 / 4)


def test_left_over_clusters_are_errors():
    true = np.array([0, 0, 0, 1, 1, 1])
    predicted = np.array([4, 4, 9, 2, 2, 2])
    table = contingency_table(true, predicted)
    assert clustering_accuracy(table) == pytest.approx(5 / 6)


def test_balanced_accuracy_weighs_classes_equally():
    true = np.array([0] * 90 + [1] * 10)
    predicted = np.array([3] * 90 + [3] * 5 + [1] * 5)
    table = contingency_table(true, predicted)
    assert clustering_accuracy(table) == pytest.approx(0.95)
    assert balanced_accuracy(table) == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("true", "predicted"),
    [(np.zeros(3, int), np.zeros(4, int)), (np.zeros(0, int), np.zeros(0, int)), (np.zeros(2), np.zeros(2, int))],
)
def test_unusable_labels_are_refused_in_one_line(true, predicted):
    with pytest.raises(UserError) as error:
        contingency_table(true, predicted)
    assert "\n" not in str(error.value)
