import numpy as np
import pytest

from pipeline_lib.base.errors import UserError
from pipeline_lib.features.search_space import SearchSpace, column_mean


def naive_space(values, parts, centre):
    rows = np.asarray(values, dtype=np.float64)
    rows = rows - rows.mean(axis=0) if centre else rows.copy()
    for start, stop in parts:
        rows[:, start:stop] /= np.linalg.norm(rows[:, start:stop], axis=1, keepdims=True)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("centre", [False, True])
@pytest.mark.parametrize("normalise_blocks", [False, True])
def test_rows_equal_the_definition(array_blocks, centre, normalise_blocks):
    values = np.random.default_rng(0).normal(3, 1, (50, 8)) * [1, 1, 1, 20, 20, 20, 20, 20]
    columns = {"cls": (0, 3), "patch_mean": (3, 8)}
    source = array_blocks(values, columns)
    space = SearchSpace(source, centre=centre, normalise_blocks=normalise_blocks, block_rows=7)
    parts = list(columns.values()) if normalise_blocks else []
    expected = naive_space(source.values, parts, centre)
    np.testing.assert_allclose(space.rows(slice(0, 50)), expected, atol=3e-6)
    np.testing.assert_array_equal(space.rows(np.array([9, 4, 4])), space.rows(slice(0, 50))[[9, 4, 4]])


def test_blocks_weigh_the_same(array_blocks):
    rng = np.random.default_rng(1)
    source = array_blocks(np.c_[rng.normal(size=(20, 4)), 100 * rng.normal(size=(20, 4))], {"a": (0, 4), "b": (4, 8)})
    rows = SearchSpace(source).rows(slice(0, 20))
    np.testing.assert_allclose(np.square(rows[:, :4]).sum(axis=1), 0.5, atol=1e-6)


def test_constant_rows_and_blocks_become_zeros_not_noise(array_blocks):
    values = np.full((30, 6), 0.1)
    values[:10, :3] = np.random.default_rng(2).normal(size=(10, 3))
    space = SearchSpace(array_blocks(values, {"a": (0, 3), "b": (3, 6)}), centre=True)
    rows = space.rows(slice(0, 30))
    np.testing.assert_array_equal(rows[:, 3:], 0)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
    constant = SearchSpace(array_blocks(np.full((5, 3), 0.1)), centre=True)
    np.testing.assert_array_equal(constant.rows(slice(0, 5)), 0)
    assert constant.zero_rows(block_rows=2) == 5
    assert space.zero_rows() == 0


def test_rounding_noise_is_no_direction(array_blocks):
    values = np.full((9, 4), 0.1, dtype=np.float32)
    values[::2] = np.nextafter(np.float32(0.1), np.float32(1))
    assert SearchSpace(array_blocks(values), centre=True).zero_rows() == 9


def test_the_source_is_not_written_to(array_blocks):
    source = array_blocks(np.random.default_rng(3).normal(size=(6, 4)))
    before = source.values.copy()
    SearchSpace(source, centre=False).rows(slice(0, 6))
    np.testing.assert_array_equal(source.values, before)


def test_mean_is_taken_in_float64(array_blocks):
    values = np.tile(np.float32([1e4, 1e4 + 1]), 50_000)[:, None]
    assert column_mean(array_blocks(values), block_rows=999)[0] == pytest.approx(1e4 + 0.5, rel=1e-12)


def test_a_given_mean_is_used(array_blocks):
    values = np.random.default_rng(4).normal(size=(9, 3))
    space = SearchSpace(array_blocks(values), mean=np.array([1.0, 2.0, 3.0]))
    np.testing.assert_allclose(space.rows(slice(0, 9)), naive_space(values - [1, 2, 3], [], False), atol=1e-6)


@pytest.mark.parametrize("centre", [False, True])
def test_values_that_are_not_finite_are_refused(array_blocks, centre):
    values = np.ones((5, 3))
    values[3, 1] = np.nan
    with pytest.raises(UserError, match="column 1" if centre else "row 3"):
        SearchSpace(array_blocks(values), centre=centre).rows(np.array([0, 3]))


def test_blocks_that_leave_columns_out_are_refused(array_blocks):
    with pytest.raises(UserError, match="cover the 4 columns"):
        SearchSpace(array_blocks(np.ones((2, 4)), {"a": (0, 2)}))
