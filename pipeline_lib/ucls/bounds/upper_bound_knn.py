"""k-NN classification with true labels, as DINO evaluates features (Caron et al. 2021; Wu et al. 2018)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline_lib.base.errors import UserError
from pipeline_lib.features.blocks import FeatureBlocks
from pipeline_lib.features.knn_vote import NEIGHBORS, TEMPERATURE, knn_classes


def upper_bound_knn(
    train: FeatureBlocks,
    train_labels: NDArray[np.int32],
    held_out: FeatureBlocks,
    held_out_labels: NDArray[np.int32],
    k: int = NEIGHBORS,
    temperature: float = TEMPERATURE,
) -> float:
    """Accuracy of the weighted vote of the ``k`` nearest training images, by cosine of the features as they come.

    Args:
        train: Features of the training images.
        train_labels: Their classes, (n,), -1 where unknown.
        held_out: Features of the images that are scored, same columns.
        held_out_labels: Their classes, (m,), -1 where unknown.
        k: Neighbours that vote; no more than there are labelled training images a class on average.
        temperature: Temperature of the votes (0.07 in DINO).

    Returns:
        Share of right classes among the held-out images with a known class, [0, 1].

    Raises:
        UserError: No image of one side has a known class, or features are not finite.
    """
    voting, scored = train_labels[train_labels >= 0], held_out_labels >= 0
    if not len(voting) or not scored.any():
        raise UserError("labels: k-NN classification needs images with a known class in both splits")
    fitted = max(1, min(k, len(voting) // len(np.unique(voting))))
    predicted = knn_classes(train, train_labels, held_out, fitted, temperature)
    return float((predicted == held_out_labels)[scored].mean())
