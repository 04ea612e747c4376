"""Ridge regression from sums of products against scikit-learn's on the rows themselves."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pipeline_lib.segins.transfer.dense_probe.ridge import Moments, chosen_strength, total_of


def rows(seed, count=200, dimension=6):
    generator = np.random.default_rng(seed)
    features = generator.normal(3, 1, (count, dimension)) * np.array([1, 10, 0.1, 1, 5, 2])
    features[:, 3] += features[:, 0]
    targets = features @ np.array([0.3, -0.02, 1.0, 0.1, 0.0, 0.2]) + generator.normal(0, 0.5, count)
    return features, targets, generator.choice([0.25, 1.0], count)


def moments(features, targets, weights):
    found = Moments(features.shape[1])
    for part in np.array_split(np.arange(len(features)), 7):
        found.add(features[part], targets[part], weights[part])
    return found


def by_library(features, targets, weights, strength):
    pipeline = make_pipeline(StandardScaler(), Ridge(alpha=strength * weights.sum()))
    return pipeline.fit(features, targets, standardscaler__sample_weight=weights, ridge__sample_weight=weights)


@pytest.mark.parametrize("strength", [1e-4, 0.1, 3.0])
def test_it_is_scikit_learn_s_ridge_on_standardised_features(strength):
    features, targets, weights = rows(0)
    score = moments(features, targets, weights).fitted(strength)
    expected = by_library(features, targets, weights, strength).predict(features)
    np.testing.assert_allclose(features @ score.weights + score.bias, expected, rtol=1e-9, atol=1e-9)


def test_the_error_is_that_of_the_rows():
    features, targets, weights = rows(1)
    other = rows(2)
    score = moments(features, targets, weights).fitted(0.01)
    expected = np.average((other[0] @ score.weights + score.bias - other[1]) ** 2, weights=other[2])
    assert moments(*other).mean_squared_error(score) == pytest.approx(expected, rel=1e-9)


def test_constant_features_change_nothing():
    features, targets, weights = rows(3)
    widened = np.column_stack([features, np.zeros(len(features)), np.full(len(features), 7.0)])
    plain, wide = (moments(each, targets, weights).fitted(0.01) for each in (features, widened))
    np.testing.assert_allclose(wide.weights[:-2], plain.weights, rtol=1e-7)
    assert wide.weights[-2:].tolist() == [0.0, 0.0]
    assert wide.bias == pytest.approx(plain.bias)


def test_moments_of_later_features_are_those_of_their_rows():
    features, targets, weights = rows(7)
    found = moments(features, targets, weights).from_column(2)
    np.testing.assert_allclose(found.products, moments(features[:, 2:], targets, weights).products)


def test_parts_add_up():
    first, second = rows(4), rows(5)
    both = [np.concatenate(pair) for pair in zip(first, second, strict=True)]
    total = total_of([moments(*first), moments(*second)])
    np.testing.assert_allclose(total.products, moments(*both).products)


@pytest.mark.parametrize("signal", [True, False])
def test_the_chosen_strength_is_the_best_on_folds_held_out(signal):
    generator = np.random.default_rng(6)
    folds = []
    for _ in range(4):
        features = generator.normal(size=(20, 30))
        targets = features[:, 0] * signal + generator.normal(0, 0.1 if signal else 1.0, 20)
        folds.append((features, targets, np.ones(20)))
    strengths = (1e-3, 1e-1, 10.0, 1e3)
    errors = []
    for strength in strengths:
        error = 0.0
        for number, held_out in enumerate(folds):
            rest = [
                np.concatenate(parts) for parts in zip(*(f for n, f in enumerate(folds) if n != number), strict=True)
            ]
            error += ((by_library(*rest, strength).predict(held_out[0]) - held_out[1]) ** 2).sum()
        errors.append(error)
    found = chosen_strength([moments(*fold) for fold in folds], strengths)
    assert found == strengths[int(np.argmin(errors))]
    # Noise alone wants the most shrinkage, a clear signal does not.
    assert (found < 10) == signal
