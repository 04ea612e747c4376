import numpy as np
import pytest
from head_settings import SETTINGS

from pipeline_lib.base import runtime
from pipeline_lib.ucls.evaluation.metrics import clustering_metrics
from pipeline_lib.ucls.heads.settings import HeadSettings
from pipeline_lib.ucls.heads.upper_bound import ChosenRows, upper_bound_heads
from pipeline_lib.ucls.neighbors.upper_bound import UpperBoundNeighbors

SHORT = SETTINGS | {"heads": 2, "neighbors_per_image": 1, "iterations": 300}


class Features:
    """Four classes that make no clusters: the sign of two columns, among others that vary far more."""

    def __init__(self, n, seed):
        rng = np.random.default_rng(seed)
        signs = rng.integers(2, size=(n, 2))
        self.labels = (2 * signs[:, 0] + signs[:, 1]).astype(np.int32)
        noise = 3 * rng.standard_normal((n, 6))
        self.array = np.concatenate([2.0 * signs - 1 + 0.2 * rng.standard_normal((n, 2)), noise], axis=1)
        self.array = self.array.astype(np.float32)
        self.count, self.dimension = self.array.shape

    def rows(self, indices):
        return self.array[indices]


def test_chosen_rows_are_numbered_anew():
    features = Features(20, 0)
    some = ChosenRows(features, np.array([3, 7, 11]))
    assert (some.count, some.dimension) == (3, 8)
    np.testing.assert_array_equal(some.rows(slice(1, 3)), features.array[[7, 11]])
    np.testing.assert_array_equal(some.rows(np.array([2, 0, 2])), features.array[[11, 3, 11]])


@pytest.mark.slow
def test_true_neighbours_lead_heads_to_classes_that_are_no_clusters():
    train, held_out = Features(512, 0), Features(200, 1)
    fabric = runtime.start("cpu")
    true = UpperBoundNeighbors(train.labels)
    everyone = np.arange(train.count)

    def accuracy(rows, draw):
        found = upper_bound_heads(
            fabric, ChosenRows(train, rows), held_out, draw, 4, HeadSettings(**SHORT), seed=0, memory_budget=1 << 20
        )
        assert found.heads.shape == (2, 200)
        return clustering_metrics(held_out.labels, found.heads[found.best_head]).acc

    def any_image(_, uniforms):
        return (uniforms * train.count).astype(np.int64)

    assert accuracy(true.rows, true.draw) > 0.9
    assert accuracy(everyone, any_image) < 0.7
