"""TURTLE's choice among its variants without labels: by how well a labelling is learned (Gadetsky et al. 2024)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from pipeline_lib.features.blocks import FeatureBlocks
from pipeline_lib.features.moments import column_moments
from pipeline_lib.ucls.bounds.settings import TurtleSettings
from pipeline_lib.ucls.bounds.turtle import Turtle, inverse_deviation, train_turtle

_FOLDS = 5
_SAMPLE = 1500
_SAMPLE_PER_CLASS = 20


@dataclass(frozen=True)
class ChosenTurtle:
    """The variant whose labelling is learned best.

    Attributes:
        fit: Its task encoder.
        settings: Its settings, without ``auto``.
        scores: Generalisation score of every variant by its name, [0, 1]; empty where there was but one.
    """

    fit: Turtle
    settings: TurtleSettings
    scores: dict[str, float]


def variants(settings: TurtleSettings) -> dict[str, TurtleSettings]:
    """All settings that ``auto`` stands for, by a name."""
    scalings = ("none", "standardise") if settings.scaling == "auto" else (settings.scaling,)
    starts = (False, True) if settings.warm_start == "auto" else (settings.warm_start,)
    return {
        f"{scaling}, {'warm' if warm else 'cold'} start": settings.model_copy(
            update={"scaling": scaling, "warm_start": warm}
        )
        for scaling, warm in product(scalings, starts)
    }


def generalisation_score(features: NDArray[np.float32], labels: NDArray[np.int32], seed: int) -> float:
    """Cross-validated accuracy of logistic regression on a labelling, the paper's label-free measure of a labelling.

    Args:
        features: Standardised features, (n, D).
        labels: Clusters, (n,).
        seed: Seed of the folds.

    Returns:
        Share of images whose cluster is predicted from the other folds, [0, 1]; images of clusters that have fewer
        than one image a fold count as errors. With fewer than two larger clusters there is nothing to learn: 0.
    """
    sizes = np.bincount(labels)
    kept = np.flatnonzero(sizes[labels] >= _FOLDS)
    if len(np.unique(labels[kept])) < 2:
        return 0.0
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=seed)
    # Ranks of variants settle long before the fit does.
    classifier = LogisticRegression(max_iter=100, tol=1e-2)
    predicted = cross_val_predict(classifier, features[kept], labels[kept], cv=folds)
    return float((predicted == labels[kept]).sum() / len(labels))


def _standardised_sample(
    features: FeatureBlocks, classes: int, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Row numbers (s,) and standardised features (s, D) of a seeded sample."""
    count = min(features.count, max(_SAMPLE, _SAMPLE_PER_CLASS * classes))
    chosen = np.sort(np.random.default_rng(seed).choice(features.count, size=count, replace=False))
    moments = column_moments(features)
    rows = (features.rows(chosen) - moments.mean) * inverse_deviation(moments)
    return chosen, rows.astype(np.float32)


def choose_turtle(
    features: FeatureBlocks, classes: int, settings: TurtleSettings, *, seed: int, device: torch.device
) -> ChosenTurtle:
    """Train every variant that the settings leave open and keep the one with the highest generalisation score.

    Args:
        features: Features of n images, D columns.
        classes: Number of classes C.
        settings: Settings; ``auto`` leaves a choice open.
        seed: Seed of initial weights, batches, sample and folds.
        device: Where to train.

    Returns:
        The chosen variant; of equal ones the first.

    Raises:
        UserError: As :func:`train_turtle`.
    """
    every = variants(settings)
    trained = {name: train_turtle(features, classes, one, seed=seed, device=device) for name, one in every.items()}
    if len(every) == 1:
        ((name, fit),) = trained.items()
        return ChosenTurtle(fit, every[name], {})
    chosen, rows = _standardised_sample(features, classes, seed)
    scores = {name: generalisation_score(rows, one.predict(features)[chosen], seed) for name, one in trained.items()}
    best = max(scores, key=lambda name: scores[name])
    return ChosenTurtle(trained[best], every[best], scores)
