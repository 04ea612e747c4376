import numpy as np
import pytest
import torch

from pipeline_lib.features.moments import column_moments
from pipeline_lib.ucls.probe.scaling import scaling_tensors
from tests.array_features import ArrayFeatures


@pytest.fixture
def features():
    rng = np.random.default_rng(0)
    array = rng.standard_normal((400, 6)) * [1, 10, 0.01, 3, 0, 0] + [0, 5, 100, -3, 0.3, 0]
    return ArrayFeatures(array)


def scaled(features, name, columns):
    mean, inverse = scaling_tensors(name, column_moments(features), columns)
    taken = np.concatenate([features.array[:, a:b] for a, b in columns], axis=1)
    return ((torch.from_numpy(taken) - mean) * inverse).double().numpy()


def test_none_changes_nothing(features):
    assert np.array_equal(scaled(features, "none", ((0, 6),)), features.array.astype(np.float64))


def test_standardise_gives_unit_columns_and_zero_where_constant(features):
    result = scaled(features, "standardise", ((3, 6), (0, 3)))
    np.testing.assert_allclose(result.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(result.std(axis=0), [1, 0, 0, 1, 1, 1], rtol=1e-3, atol=1e-6)


def test_global_divides_by_one_number(features):
    result = scaled(features, "global", ((0, 4),))
    exact = features.array[:, :4].astype(np.float64)
    expected = (exact - exact.mean(axis=0)) / np.sqrt(exact.var(axis=0).mean())
    np.testing.assert_allclose(result, expected, atol=1e-4)
    assert result.var(axis=0).mean() == pytest.approx(1, rel=1e-4)


@pytest.mark.parametrize("name", ["global", "standardise"])
def test_features_that_never_vary_become_zero(name):
    constant = ArrayFeatures(np.full((20, 3), 0.1))
    assert np.abs(scaled(constant, name, ((0, 3),))).max() == 0
