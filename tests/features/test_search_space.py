import numpy as np
import pytest

from pipeline_lib.base.errors import UserError
from pipeline_lib.features.search_space import ReducedSpace, SearchSpace, column_mean

TWO_BLOCKS = {"cls": (0, 6), "patch_mean": (6, 10)}


class ArrayBlocks:
    def __init__(self, values, columns=None):
        self.values = np.asarray(values, dtype=np.float32)
        self.count, self.dimension = self.values.shape
        self.columns = columns or {"all": (0, self.dimension)}

    def rows(self, indices):
        return self.values[indices]


def naive_space(values, parts, centre):
    rows = np.asarray(values, dtype=np.float64)
    rows = rows - rows.mean(axis=0) if centre else rows.copy()
    for start, stop in parts:
        rows[:, start:stop] /= np.linalg.norm(rows[:, start:stop], axis=1, keepdims=True)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("centre", [False, True])
@pytest.mark.parametrize("normalise_blocks", [False, True])
def test_rows_equal_the_definition(centre, normalise_blocks):
    values = np.random.default_rng(0).normal(3, 1, (50, 8)) * [1, 1, 1, 20, 20, 20, 20, 20]
    columns = {"cls": (0, 3), "patch_mean": (3, 8)}
    source = ArrayBlocks(values, columns)
    space = SearchSpace(source, centre=centre, normalise_blocks=normalise_blocks, block_rows=7)
    parts = list(columns.values()) if normalise_blocks else []
    expected = naive_space(source.values, parts, centre)
    np.testing.assert_allclose(space.rows(slice(0, 50)), expected, atol=3e-6)
    np.testing.assert_array_equal(space.rows(np.array([9, 4, 4])), space.rows(slice(0, 50))[[9, 4, 4]])


def test_blocks_weigh_the_same():
    rng = np.random.default_rng(1)
    source = ArrayBlocks(np.c_[rng.normal(size=(20, 4)), 100 * rng.normal(size=(20, 4))], {"a": (0, 4), "b": (4, 8)})
    rows = SearchSpace(source).rows(slice(0, 20))
    np.testing.assert_allclose(np.square(rows[:, :4]).sum(axis=1), 0.5, atol=1e-6)


def test_constant_rows_and_blocks_become_zeros_not_noise():
    values = np.full((30, 6), 0.1)
    values[:10, :3] = np.random.default_rng(2).normal(size=(10, 3))
    space = SearchSpace(ArrayBlocks(values, {"a": (0, 3), "b": (3, 6)}), centre=True)
    rows = space.rows(slice(0, 30))
    np.testing.assert_array_equal(rows[:, 3:], 0)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
    constant = SearchSpace(ArrayBlocks(np.full((5, 3), 0.1)), centre=True)
    np.testing.assert_array_equal(constant.rows(slice(0, 5)), 0)
    assert constant.zero_rows(block_rows=2) == 5
    assert space.zero_rows() == 0


def test_rounding_noise_is_no_direction():
    values = np.full((9, 4), 0.1, dtype=np.float32)
    values[::2] = np.nextafter(np.float32(0.1), np.float32(1))
    assert SearchSpace(ArrayBlocks(values), centre=True).zero_rows() == 9


def test_the_source_is_not_written_to():
    source = ArrayBlocks(np.random.default_rng(3).normal(size=(6, 4)))
    before = source.values.copy()
    SearchSpace(source, centre=False).rows(slice(0, 6))
    np.testing.assert_array_equal(source.values, before)


def test_mean_is_taken_in_float64():
    values = np.tile(np.float32([1e4, 1e4 + 1]), 50_000)[:, None]
    assert column_mean(ArrayBlocks(values), block_rows=999)[0] == pytest.approx(1e4 + 0.5, rel=1e-12)


def test_a_given_mean_is_used():
    values = np.random.default_rng(4).normal(size=(9, 3))
    space = SearchSpace(ArrayBlocks(values), mean=np.array([1.0, 2.0, 3.0]))
    np.testing.assert_allclose(space.rows(slice(0, 9)), naive_space(values - [1, 2, 3], [], False), atol=1e-6)


@pytest.mark.parametrize("centre", [False, True])
def test_values_that_are_not_finite_are_refused(centre):
    values = np.ones((5, 3))
    values[3, 1] = np.nan
    with pytest.raises(UserError, match="column 1" if centre else "row 3"):
        SearchSpace(ArrayBlocks(values), centre=centre).rows(np.array([0, 3]))


def test_blocks_that_leave_columns_out_are_refused():
    with pytest.raises(UserError, match="cover the 4 columns"):
        SearchSpace(ArrayBlocks(np.ones((2, 4)), {"a": (0, 2)}))


@pytest.fixture
def space():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(200, 3)) @ rng.normal(size=(3, 10)) + 0.2 * rng.normal(size=(200, 10)) + 2
    return SearchSpace(ArrayBlocks(values, TWO_BLOCKS))


def test_reduced_rows_are_those_of_a_singular_value_decomposition_of_the_space(space):
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


def test_sizes_and_constant_rows_of_a_reduced_space(space):
    reduced = ReducedSpace(space, 4)
    assert (reduced.count, reduced.dimension) == (200, 4)
    assert reduced.rows(slice(5, 8)).shape == (3, 4)
    assert set(reduced.columns) == {"cls", "patch_mean"}
    constant = ReducedSpace(SearchSpace(ArrayBlocks(np.ones((20, 10)), TWO_BLOCKS)), 2)
    assert not constant.rows(slice(None)).any()
    assert constant.zero_rows() == 20
