import numpy as np
import pytest

from pipeline_lib.base import row_blocks
from pipeline_lib.base.errors import UserError
from pipeline_lib.features.moments import column_moments
from tests.array_features import ArrayFeatures


@pytest.fixture
def features():
    rng = np.random.default_rng(0)
    array = rng.standard_normal((400, 6)) * [1, 10, 0.01, 3, 0, 0] + [0, 5, 100, -3, 0.3, 0]
    return ArrayFeatures(array)


def test_moments_in_blocks_are_numpys(features, monkeypatch):
    monkeypatch.setattr(row_blocks, "_BLOCK_ELEMENTS", 6 * 33)
    moments = column_moments(features)
    exact = features.array.astype(np.float64)
    np.testing.assert_allclose(moments.mean, exact.mean(axis=0), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(moments.variance, exact.var(axis=0), rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(value):
    array = np.zeros((10, 2))
    array[4, 1] = value
    with pytest.raises(UserError, match="finite"):
        column_moments(ArrayFeatures(array))


def test_no_rows_are_refused():
    with pytest.raises(UserError, match="no rows"):
        column_moments(ArrayFeatures(np.zeros((0, 2))))
