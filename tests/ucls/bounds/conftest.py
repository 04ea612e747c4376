import numpy as np
import pytest

from tests.array_features import ArrayFeatures


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
