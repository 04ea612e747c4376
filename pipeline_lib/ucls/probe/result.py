"""What the grid gives: every classifier's measures, and the chosen one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from pipeline_lib.base.errors import UserError
from pipeline_lib.features.blocks import FeatureBlocks
from pipeline_lib.ucls.probe.batched import BatchedClassifiers
from pipeline_lib.ucls.probe.classifier import LinearClassifier, predict_in_blocks
from pipeline_lib.ucls.probe.grid import ClassifierSetting
from pipeline_lib.ucls.probe.settings import ScalingName


@dataclass(frozen=True)
class TrainedInput:
    """The classifiers of one feature input with its scaling tensors (D,)."""

    mean: Tensor
    inverse_scale: Tensor
    classifiers: BatchedClassifiers


@dataclass(frozen=True)
class GridResult:
    """A trained grid of S classifiers.

    Attributes:
        settings: The classifiers, inputs in the outer loop.
        held_out_accuracy: Share of held-out rows whose label each predicts, (S,); None where it diverged.
        held_out_loss: Mean cross-entropy of each with these labels, nats, (S,); None where it diverged.
        diverged: Whether each has parameters that are not finite, (S,).
        chosen: Number of the one with the highest held-out accuracy; ties as in :func:`best_of`.
        training_rows: Number of rows trained on.
        held_out_rows: Number of rows held out.
        scaling: How features are scaled.
        trained: Parameters of the classifiers, one entry for each feature input; see :meth:`classifier`.
    """

    settings: tuple[ClassifierSetting, ...]
    held_out_accuracy: tuple[float | None, ...]
    held_out_loss: tuple[float | None, ...]
    diverged: tuple[bool, ...]
    chosen: int
    training_rows: int
    held_out_rows: int
    scaling: ScalingName
    trained: tuple[TrainedInput, ...]

    def classifier(self, number: int | None = None) -> LinearClassifier:
        """Classifier ``number`` on the CPU, the chosen one by default."""
        index = self.chosen if number is None else number
        rates = self.trained[0].classifiers.count
        own = self.trained[index // rates]
        return LinearClassifier(own.mean.cpu(), own.inverse_scale.cpu(), *own.classifiers.parameters_of(index % rates))

    def predictions(self, features: FeatureBlocks) -> NDArray[np.int32]:
        """What every classifier makes of all rows, computed as for the chosen one alone.

        Args:
            features: Features of n images, same columns as in training.

        Returns:
            Most probable class by classifier, (S, n); all 0 where it diverged.
        """
        predicted = np.empty((len(self.settings), features.count), dtype=np.int32)
        for number, setting in enumerate(self.settings):
            for block in predict_in_blocks(self.classifier(number), features, setting.input):
                predicted[number, block.rows] = block.labels
        return predicted

    def table(self) -> list[dict[str, Any]]:
        """One row of JSON values a classifier: name, blocks, rates, held-out measures, divergence."""
        rows: list[dict[str, Any]] = []
        for index, setting in enumerate(self.settings):
            rows.append(
                {
                    "name": setting.name,
                    "input": list(setting.input.blocks),
                    "rate": setting.rate,
                    "scaled_rate": setting.scaled_rate,
                    "held_out_accuracy": self.held_out_accuracy[index],
                    "held_out_loss": self.held_out_loss[index],
                    "diverged": self.diverged[index],
                }
            )
        return rows


def best_of(scores: Sequence[float | None], losses: Sequence[float | None]) -> int:
    """Number of the highest score; of equal ones that with the lowest loss, and then the first.

    On easy data the accuracies of many learning rates are equal, the smallest rates among them. DINOv2 takes the first,
    which is then the least trained; the cross-entropy tells these apart and looks at no other labels.

    Args:
        scores: Score of each classifier; None is never chosen.
        losses: Loss of each classifier; None or a value that is not finite comes last among equal scores.

    Returns:
        The number.

    Raises:
        UserError: All scores are None.
    """
    present = [
        (-score, math.inf if loss is None or not math.isfinite(loss) else loss, index)
        for index, (score, loss) in enumerate(zip(scores, losses, strict=True))
        if score is not None
    ]
    if not present:
        raise UserError("rates: every classifier of the grid diverged; use smaller rates or another scaling")
    return min(present)[2]
