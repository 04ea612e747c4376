"""Ridge regression from sums of products, so that neither the number of images nor that of cells needs memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve

_SMALLEST_DEVIATION = 1e-4


@dataclass(frozen=True)
class LinearScore:
    """A linear function: ``features @ weights + bias``.

    Attributes:
        weights: float64 (C,).
        bias: What is added.
    """

    weights: NDArray[np.float64]
    bias: float


class Moments:
    """Weighted sums of products of features, 1 and target.

    Attributes:
        products: float64 (C + 2, C + 2): features, 1, target, times the same.
    """

    def __init__(self, dimension: int) -> None:
        """Start at zero.

        Args:
            dimension: Length C of a feature.
        """
        self.products: NDArray[np.float64] = np.zeros((dimension + 2, dimension + 2))

    def add(self, features: NDArray[np.float64], targets: NDArray[np.float64], weights: NDArray[np.float64]) -> None:
        """Count rows.

        Args:
            features: float64 (n, C).
            targets: float64 (n,).
            weights: float64 (n,), not negative.
        """
        rows = np.column_stack([features, np.ones(len(features)), targets]) * np.sqrt(weights)[:, None]  # (n, C + 2)
        self.products += rows.T @ rows

    def from_column(self, first: int) -> Moments:
        """Moments of the features from the ``first`` one on."""
        found = Moments(len(self.products) - 2 - first)
        found.products += self.products[first:, first:]
        return found

    def fitted(self, strength: float) -> LinearScore:
        """Ridge regression on features of mean 0 and deviation 1; of those that are constant nothing is used.

        Args:
            strength: Weight λ of the squared length of the weights beside the mean squared error: scikit-learn's
                ``Ridge(alpha)`` after a ``StandardScaler`` with ``alpha`` = λ times the sum of the weights.

        Returns:
            The function of features as they are.
        """
        total = self.products[-2, -2]
        means = self.products[-2] / total  # (C + 2,)
        covariances = self.products / total - np.outer(means, means)
        deviations = np.sqrt(np.maximum(np.diag(covariances)[:-2], 0))
        used = deviations > _SMALLEST_DEVIATION
        scale = np.where(used, deviations, 1.0)
        correlations = np.where(np.outer(used, used), covariances[:-2, :-2] / np.outer(scale, scale), 0.0)
        with_target = np.where(used, covariances[:-2, -1] / scale, 0.0)
        weights = solve(correlations + strength * np.eye(len(scale)), with_target, assume_a="pos") / scale
        return LinearScore(weights, float(means[-1] - weights @ means[:-2]))

    def mean_squared_error(self, score: LinearScore) -> float:
        """Weighted mean squared error of a function on the rows that were counted."""
        difference = np.concatenate([score.weights, [score.bias, -1.0]])
        return float(difference @ self.products @ difference / self.products[-2, -2])


def total_of(parts: Iterable[Moments]) -> Moments:
    """Moments of all rows of several parts."""
    first, *others = parts
    total = Moments(len(first.products) - 2)
    total.products = sum((part.products for part in others), first.products.copy())
    return total


def chosen_strength(folds: Sequence[Moments], strengths: Sequence[float]) -> float:
    """The strength with the least squared error by cross-validation; of equal ones the first.

    Args:
        folds: Moments of each fold, of images apart from those of the others.
        strengths: What to choose from.
    """
    errors = np.zeros(len(strengths))
    for number, held_out in enumerate(folds):
        rest = total_of([fold for other, fold in enumerate(folds) if other != number])
        share = held_out.products[-2, -2]
        errors += [share * held_out.mean_squared_error(rest.fitted(strength)) for strength in strengths]
    return strengths[int(np.argmin(errors))]
