import numpy as np
import pytest


class ArrayFeatures:
    """Features held as an array; remembers the largest block that was read."""

    def __init__(self, array):
        self.array = array.astype(np.float32)
        self.count, self.dimension = array.shape
        self.largest = 0

    def rows(self, indices):
        rows = self.array[indices]
        self.largest = max(self.largest, len(rows))
        return rows


@pytest.fixture
def as_features():
    return ArrayFeatures


@pytest.fixture
def blobs():
    """Well separated Gaussian classes: features and true classes."""

    def make(n, k, d=16, seed=0):
        rng = np.random.default_rng(seed)
        labels = rng.permutation(np.arange(n) % k).astype(np.int32)
        return ArrayFeatures(4 * rng.standard_normal((k, d))[labels] + rng.standard_normal((n, d))), labels

    return make
