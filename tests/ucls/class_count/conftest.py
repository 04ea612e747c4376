import numpy as np
import pytest


class Rows:
    """Rows of length one, as the search space gives them."""

    def __init__(self, values):
        values = np.asarray(values, dtype=np.float32)
        self.values = values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)

    @property
    def count(self):
        return len(self.values)

    @property
    def dimension(self):
        return self.values.shape[1]

    def rows(self, indices):
        return self.values[indices]


def mixture(classes, sizes, noise=0.6, dimension=40, seed=0):
    """Gaussian classes around random directions, in random order."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((classes, dimension))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    labels = rng.permutation(np.repeat(np.arange(classes), sizes))
    values = centres[labels] + noise * rng.standard_normal((len(labels), dimension)) / np.sqrt(dimension)
    return Rows(values - values.mean(axis=0)), labels


@pytest.fixture
def planted():
    return mixture


@pytest.fixture
def as_rows():
    return Rows
