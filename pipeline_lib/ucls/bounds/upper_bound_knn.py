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
    k: int = NEIGHBORS,
    temperature: float = TEMPERATURE,
) -> NDArray[np.int32]:
    """Classes by the weighted vote of the ``k`` nearest training images, by cosine of the features as they come.

    Args:
        train: Features of the training images.
        train_labels: Their classes, (n,), -1 where unknown.
        held_out: Features of the images that are classified, same columns.
        k: Neighbours that vote; no more than there are labelled training images a class on average.
        temperature: Temperature of the votes (0.07 in DINO).

    Returns:
        Class of each of them, (m,).

    Raises:
        UserError: No training image has a known class, or features are not finite.
    """
    voting = train_labels[train_labels >= 0]
    if not len(voting):
        raise UserError("labels: k-NN classification needs training images with a known class")
    fitted = max(1, min(k, len(voting) // len(np.unique(voting))))
    return knn_classes(train, train_labels, held_out, fitted, temperature).astype(np.int32)
