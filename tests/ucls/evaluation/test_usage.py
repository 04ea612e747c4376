import math

import numpy as np
import pytest

from pipeline_lib.base.errors import UserError
from pipeline_lib.ucls.evaluation.usage import cluster_usage


def test_even_use():
    usage = cluster_usage(np.tile(np.arange(5), 4), 5)
    assert usage.kl_to_uniform == pytest.approx(0, abs=1e-12)
    assert usage.normalised_entropy == pytest.approx(1)
    assert (usage.empty_clusters, usage.largest_share, usage.smallest_share) == (0, 0.2, 0.2)


def test_collapse_into_one_cluster():
    usage = cluster_usage(np.full(30, 2), 8)
    assert usage.kl_to_uniform == pytest.approx(math.log(8))
    assert usage.normalised_entropy == pytest.approx(0)
    assert (usage.empty_clusters, usage.largest_share, usage.smallest_share) == (7, 1.0, 0.0)


def test_kl_follows_its_definition():
    shares = np.array([0.5, 0.3, 0.2, 0.0])
    labels = np.repeat(np.arange(4), (shares * 10).astype(int))
    expected = sum(p * math.log(p / 0.25) for p in shares if p > 0)
    usage = cluster_usage(labels, 4)
    assert usage.kl_to_uniform == pytest.approx(expected)
    assert usage.normalised_entropy == pytest.approx(1 - expected / math.log(4))


def test_a_single_cluster_is_evenly_used():
    usage = cluster_usage(np.zeros(3, int), 1)
    assert (usage.kl_to_uniform, usage.normalised_entropy) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("labels", "clusters"), [(np.array([0, 3]), 3), (np.array([-1, 0]), 3), (np.array([], int), 3), (np.array([0]), 0)]
)
def test_labels_outside_the_clusters_are_refused(labels, clusters):
    with pytest.raises(UserError):
        cluster_usage(labels, clusters)
