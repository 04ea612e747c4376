"""Heads trained on neighbours that true labels gave: the upper bound on neighbour quality (thesis Table 6.5)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from lightning_fabric import Fabric
from numpy.typing import NDArray

from pipeline_lib.features.blocks import FeatureBlocks
from pipeline_lib.ucls.heads.feature_rows import FeatureRows
from pipeline_lib.ucls.heads.inference import assign_in_blocks
from pipeline_lib.ucls.heads.model import HeadShape
from pipeline_lib.ucls.heads.pairs import Draw, PairSampler, fitted_batch_size
from pipeline_lib.ucls.heads.settings import HeadSettings
from pipeline_lib.ucls.heads.training import HeadTrainer


@dataclass(frozen=True)
class ChosenRows:
    """Some rows of features, as features.

    Attributes:
        source: All rows.
        chosen: Which of them, (r,) int64.
    """

    source: FeatureBlocks
    chosen: NDArray[np.int64]

    @property
    def count(self) -> int:
        """Number of chosen rows r."""
        return len(self.chosen)

    @property
    def dimension(self) -> int:
        """Number of columns."""
        return self.source.dimension

    def rows(self, indices: slice | NDArray[np.int64]) -> NDArray[np.float32]:
        """Chosen rows by their number among the chosen, float32 (b, d)."""
        return self.source.rows(self.chosen[indices])


@dataclass(frozen=True)
class UpperBoundHeads:
    """What heads trained on true neighbours make of the held-out images.

    Attributes:
        heads: Assignments of every head, (H, m) int32.
        best_head: Head with the lowest training loss.
    """

    heads: NDArray[np.int32]
    best_head: int


def upper_bound_heads(
    fabric: Fabric,
    train: FeatureBlocks,
    held_out: FeatureBlocks,
    draw: Draw,
    classes: int,
    settings: HeadSettings,
    seed: int,
    memory_budget: int,
) -> UpperBoundHeads:
    """Train heads on drawn neighbours and assign the held-out images by the teacher, as inference does.

    Args:
        fabric: A launched Fabric.
        train: Features of the training images.
        held_out: Features of m other images, same columns.
        draw: Picks a true neighbour of a training image.
        classes: Number of classes.
        settings: Settings, the number of heads included.
        seed: Seed of weights and pairs.
        memory_budget: Bytes of features that may be held on the device.

    Returns:
        Assignments of the held-out images.
    """
    shape = HeadShape.of(settings, train.dimension, train.count, classes)
    batch_size = fitted_batch_size(settings.batch_size, train.count, fabric.world_size)
    sampler = PairSampler(train.count, batch_size, settings.neighbors_per_image, draw, seed)
    trained = HeadTrainer(fabric, settings, shape, sampler, FeatureRows(train, fabric.device, memory_budget)).run()
    blocks = assign_in_blocks(
        trained.teacher.eval(),
        held_out,
        np.arange(held_out.count),
        temperature=settings.student_temperature,
        probabilities="none",
        best_head=trained.best_head,
        device=fabric.device,
    )
    return UpperBoundHeads(np.concatenate([labels for _, labels, _ in blocks], axis=1), trained.best_head)
