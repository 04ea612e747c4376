from itertools import permutations

import numpy as np
import pytest

from pipeline_lib.reports.drawing.panels import write_panels
from pipeline_lib.reports.ucls.confusion import confusion_panel, oracle_confusion


def test_matching_is_the_best_of_all():
    rng = np.random.default_rng(0)
    labels, clusters = rng.integers(0, 5, 300), rng.integers(0, 5, 300)
    table = np.array([[np.sum((labels == c) & (clusters == k)) for k in range(5)] for c in range(5)])
    best = max(sum(table[c, k] for c, k in enumerate(order)) for order in permutations(range(5)))
    found = oracle_confusion(labels, clusters, 5, 5)
    assert np.trace(found.counts) == best
    assert sorted(found.classes) == sorted(found.clusters) == list(range(5))
    assert (found.counts == table[np.ix_(found.classes, found.clusters)]).all()


def test_unknown_labels_do_not_count_and_surplus_clusters_come_last():
    labels = np.array([0, 0, 1, 1, -1, -1])
    clusters = np.array([2, 2, 0, 0, 1, 1])
    found = oracle_confusion(labels, clusters, 2, 4)
    assert found.counts.sum() == 4
    assert found.class_of() == {2: 0, 0: 1}
    assert found.clusters.tolist() == [2, 0, 1, 3]
    assert found.largest_errors(5) == []


def test_class_without_images_has_shares_of_zero():
    found = oracle_confusion(np.array([0, 0]), np.array([0, 1]), 3, 2)
    assert found.shares.sum() == pytest.approx(1)
    assert np.isfinite(found.shares).all()


def test_largest_errors_are_off_the_matching_and_in_order():
    labels = np.repeat([0, 1, 1, 1], [9, 8, 3, 1])
    clusters = np.repeat([1, 0, 1, 2], [9, 8, 3, 1])
    assert oracle_confusion(labels, clusters, 2, 3).largest_errors(9) == [(1, 1, 3), (1, 2, 1)]


@pytest.mark.parametrize("classes", [2, 60])
def test_picture_of_few_and_of_many_classes(tmp_path, classes):
    labels = np.arange(4 * classes) % classes
    names = [f"$name <{number}>" for number in range(classes)]
    write_panels(tmp_path / "p.png", [confusion_panel(oracle_confusion(labels, labels, classes, classes), names)])
    assert (tmp_path / "p.png").stat().st_size > 1000
