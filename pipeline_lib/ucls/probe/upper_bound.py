"""Linear probing with true labels: the upper bound that unsupervised measures are read against."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline_lib.features.blocks import FeatureBlocks
from pipeline_lib.ucls.probe.classifier import predict_in_blocks
from pipeline_lib.ucls.probe.features import dinov2_inputs
from pipeline_lib.ucls.probe.settings import GridSettings
from pipeline_lib.ucls.probe.training import train_linear_grid


def upper_bound_linear_probe(
    train: FeatureBlocks,
    train_labels: NDArray[np.int32],
    held_out: FeatureBlocks,
    columns: Mapping[str, tuple[int, int]],
    settings: GridSettings,
    seed: int,
    device: torch.device,
) -> NDArray[np.int32]:
    """Classes that the linear grid finds, trained on true labels and chosen on held-out training images.

    Args:
        train: Features of the training images.
        train_labels: Their classes, (n,), -1 where unknown.
        held_out: Features of the images that are classified, same columns.
        columns: First column and column after the last one of each feature block.
        settings: The grid.
        seed: Seed of the held-out images, the order and the initial weights.
        device: Where to train.

    Returns:
        Class of each of them, (m,).
    """
    classes = int(train_labels.max()) + 1
    grid = train_linear_grid(train, dinov2_inputs(columns), train_labels, classes, settings, seed=seed, device=device)
    chosen = grid.settings[grid.chosen].input
    return np.concatenate([block.labels for block in predict_in_blocks(grid.classifier(), held_out, chosen)])
