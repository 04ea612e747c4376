import numpy as np
import pytest
import torch

from pipeline_lib.features.principal_components import fitted_components
from pipeline_lib.ucls.heads.components import PrincipalComponents


class Rows:
    def __init__(self, values):
        self.values = values.astype(np.float32)
        self.count, self.dimension = values.shape

    def rows(self, indices):
        return self.values[indices]


@pytest.fixture
def fitted():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(300, 4)) @ rng.normal(size=(4, 12)) * 3 + 0.1 * rng.normal(size=(300, 12)) + 5
    rows = Rows(values)
    components = PrincipalComponents(12, 4)
    variance = components.fit(rows, rows.values.mean(axis=0, dtype=np.float64))
    return rows, components, variance


def test_coordinates_equal_a_singular_value_decomposition(fitted):
    rows, components, variance = fitted
    centred = rows.values.astype(np.float64) - rows.values.mean(axis=0, dtype=np.float64)
    left, singular, _ = np.linalg.svd(centred, full_matrices=False)
    ours = components(torch.from_numpy(rows.values)).numpy()
    # A component has no sign.
    np.testing.assert_allclose(np.abs(ours), np.abs(left * singular)[:, :4], atol=1e-3)
    np.testing.assert_allclose(variance, singular[:4] ** 2 / 299, rtol=1e-4)


def test_coordinates_are_centred_and_uncorrelated(fitted):
    rows, components, variance = fitted
    covariance = np.cov(components(torch.from_numpy(rows.values)).numpy().T)
    np.testing.assert_allclose(covariance, np.diag(variance), atol=2e-3 * float(variance[0]))


def test_the_sign_does_not_depend_on_the_order_of_the_rows(fitted):
    rows, components, _ = fitted
    shuffled = Rows(rows.values[np.random.default_rng(1).permutation(300)])
    again = PrincipalComponents(12, 4)
    again.fit(shuffled, shuffled.values.mean(axis=0, dtype=np.float64))
    torch.testing.assert_close(again.directions, components.directions, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("components", "features", "images", "classes", "expected"),
    [
        ("auto", 1280, 50_000, 10, 64),
        ("auto", 2048, 128_545, 100, 400),
        ("auto", 1280, 1_281_167, 1000, None),
        ("auto", 64, 1_438, 10, None),
        ("auto", 1280, 40, 2, None),
        (32, 64, 1_438, 10, 32),
        (None, 1280, 50_000, 10, None),
    ],
)
def test_auto_is_four_a_class_where_there_are_so_many(components, features, images, classes, expected):
    assert fitted_components(components, features, images, classes) == expected
