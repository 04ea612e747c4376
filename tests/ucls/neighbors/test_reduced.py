import numpy as np
import pytest

from pipeline_lib.features.reduced_space import ReducedSpace
from pipeline_lib.features.search_space import SearchSpace


class Rows:
    def __init__(self, values):
        self.values = values.astype(np.float32)
        self.count, self.dimension = values.shape
        self.columns = {"cls": (0, 6), "patch_mean": (6, self.dimension)}

    def rows(self, indices):
        return self.values[indices]


@pytest.fixture
def space():
    rng = np.random.default_rng(0)
    return SearchSpace(
        Rows(rng.normal(size=(200, 3)) @ rng.normal(size=(3, 10)) + 0.2 * rng.normal(size=(200, 10)) + 2)
    )


def test_rows_are_those_of_a_singular_value_decomposition_of_the_space(space):
    vectors = space.rows(np.arange(200)).astype(np.float64)
    left, singular, _ = np.linalg.svd(vectors - vectors.mean(axis=0), full_matrices=False)
    expected = (left * singular)[:, :3]
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    ours = ReducedSpace(space, 3).rows(np.arange(200))
    # Components have no sign, so similarities are compared.
    np.testing.assert_allclose(ours @ ours.T, expected @ expected.T, atol=1e-4)


def test_with_all_components_only_the_mean_of_the_unit_vectors_is_gone(space):
    vectors = space.rows(np.arange(200)).astype(np.float64)
    vectors -= vectors.mean(axis=0)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    ours = ReducedSpace(space, 10).rows(np.arange(200))
    np.testing.assert_allclose(ours @ ours.T, vectors @ vectors.T, atol=1e-4)


def test_sizes_and_constant_rows(space):
    reduced = ReducedSpace(space, 4)
    assert (reduced.count, reduced.dimension) == (200, 4)
    assert reduced.rows(slice(5, 8)).shape == (3, 4)
    assert set(reduced.columns) == {"cls", "patch_mean"}
    constant = ReducedSpace(SearchSpace(Rows(np.ones((20, 10)))), 2)
    assert not constant.rows(slice(None)).any()
    assert constant.zero_rows() == 20
