"""TURTLE for one feature space (Gadetsky, Jiang and Brbic 2024, "Let Go of Your Labels with Unsupervised Transfer").

Among all labellings that a linear task encoder can give, it looks for the one that a linear classifier learns best from
a few steps. Letters: n images, B images of an update, D feature columns, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import assert_never

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from pipeline_lib.base.errors import UserError
from pipeline_lib.base.progress import progress
from pipeline_lib.base.row_blocks import bounded_row_blocks
from pipeline_lib.features.blocks import FeatureBlocks
from pipeline_lib.features.moments import ColumnMoments, column_moments
from pipeline_lib.features.row_reader import RowReader, as_tensor
from pipeline_lib.ucls.bounds.settings import TurtleSettings

_CPU = torch.device("cpu")


def turtle_objective(probability: Tensor, inner_log_probability: Tensor, entropy_weight: float) -> Tensor:
    """What the task encoder minimises (paper, Eq. 12), with the linear classifier held fixed (first order, Eq. 13).

    Args:
        probability: The task encoder's soft labels, (B, C).
        inner_log_probability: Log-probabilities of the linear classifier that was trained on them, (B, C).
        entropy_weight: Weight of the entropy of the mean label; without it one class takes all images.

    Returns:
        Mean cross-entropy of the classifier with the labels, minus the weighted entropy; a scalar in nats.
    """
    cross_entropy = -(probability * inner_log_probability).sum(dim=1).mean()
    entropy: Tensor = torch.special.entr(probability.mean(dim=0)).sum()
    return cross_entropy - entropy_weight * entropy


class InnerClassifier:
    """The linear classifier that tells how easily a labelling is learned.

    Args:
        dimension: Feature columns D.
        classes: Classes C.
        rate: Adam's rate.
        generator: Source of the initial weights, on the CPU.
        device: Where it is trained.
    """

    def __init__(
        self, dimension: int, classes: int, rate: float, generator: torch.Generator, device: torch.device
    ) -> None:
        self._classes = classes
        self._rate = rate
        self._generator = generator
        self._device = device
        self.weight = torch.empty(0)
        self.bias = torch.empty(0)
        self._dimension = dimension
        self.restart()

    def restart(self) -> None:
        """Fresh weights, drawn as for any linear layer, and a fresh optimiser."""
        layer = initial_linear(self._dimension, self._classes, self._generator).to(self._device)
        self.weight, self.bias = layer.weight.data, layer.bias.data
        self._optimizer = torch.optim.Adam([self.weight, self.bias], lr=self._rate, fused=True)

    def logits(self, features: Tensor) -> Tensor:
        """(B, C) for features (B, D)."""
        return torch.addmm(self.bias, features, self.weight.t())

    def gradient(self, features: Tensor, labels_by_class: Tensor) -> tuple[Tensor, Tensor]:
        """Gradient of the mean cross-entropy with soft labels (C, B): of the weight (C, D) and of the bias (C,)."""
        # Classes first: a softmax over the short last axis of (B, C) would take longer than the products.
        logits = torch.addmm(self.bias[:, None], self.weight, features.t())  # (C, B)
        error = (logits.softmax(dim=0) - labels_by_class) / len(features)
        return error @ features, error.sum(dim=1)

    def train(self, features: Tensor, labels: Tensor, steps: int) -> None:
        """Adam steps on features (B, D) with soft labels (B, C)."""
        by_class = labels.t().contiguous()
        for _ in range(steps):
            self.weight.grad, self.bias.grad = self.gradient(features, by_class)
            self._optimizer.step()


def initial_linear(dimension: int, classes: int, generator: torch.Generator) -> nn.Linear:
    """A linear layer with torch's usual initial values, from ``generator`` instead of the global one."""
    layer: nn.Linear = nn.utils.skip_init(nn.Linear, dimension, classes)  # type: ignore[no-untyped-call]
    bound = 1 / math.sqrt(dimension)
    for parameter in (layer.weight, layer.bias):
        nn.init.uniform_(parameter, -bound, bound, generator=generator)
    return layer


@dataclass(frozen=True)
class Turtle:
    """A trained task encoder.

    Attributes:
        encoder: Linear layer on scaled features, D to C.
        mean: Subtracted from features, (D,).
        inverse_scale: Multiplied with them then, (D,).
        objective: Value of the objective in every update, (steps,) float64.
    """

    encoder: nn.Module
    mean: Tensor
    inverse_scale: Tensor
    objective: NDArray[np.float64]

    @torch.inference_mode()
    def predict(self, features: FeatureBlocks) -> NDArray[np.int32]:
        """Cluster of every row, (m,) int32, read in blocks; the columns must be those of the training."""
        labels = np.empty(features.count, dtype=np.int32)
        for block in bounded_row_blocks(features.count, features.dimension):
            rows = as_tensor(features.rows(block)).to(self.mean.device)
            labels[block] = self.encoder((rows - self.mean) * self.inverse_scale).argmax(dim=1).cpu().numpy()
        return labels


def inverse_deviation(moments: ColumnMoments) -> NDArray[np.float64]:
    """One over the standard deviation of every column, (D,); 0 for columns that do not vary."""
    # What varies by less than float32 resolves is rounding.
    varies = moments.variance > (np.finfo(np.float32).eps * np.abs(moments.mean)) ** 2
    zeros = np.zeros(len(moments.variance))
    return np.asarray(np.divide(1.0, np.sqrt(moments.variance), out=zeros, where=varies), dtype=np.float64)


def _scale(features: FeatureBlocks, settings: TurtleSettings, device: torch.device) -> tuple[Tensor, Tensor]:
    """Mean and inverse scale (D,) of ``settings.scaling``; columns that do not vary become 0."""
    moments = column_moments(features)  # refuses features that are not finite
    match settings.scaling:
        case "none":
            return torch.zeros(features.dimension, device=device), torch.ones(features.dimension, device=device)
        case "standardise":
            inverse = inverse_deviation(moments)
            return torch.from_numpy(moments.mean).float().to(device), torch.from_numpy(inverse).float().to(device)
        case "auto":
            raise ValueError("scaling = auto: chosen before, see turtle_choice")
        case _:
            assert_never(settings.scaling)


def _batches(count: int, settings: TurtleSettings, seed: int) -> Iterator[NDArray[np.int64]]:
    """Rows of each update, drawn without repeats; all rows in order where they are no more than a batch."""
    rng = np.random.default_rng(seed)
    for _ in range(settings.steps):
        if count <= settings.batch_size:
            yield np.arange(count, dtype=np.int64)
        else:
            yield rng.choice(count, size=settings.batch_size, replace=False)


def _check(features: FeatureBlocks, classes: int, settings: TurtleSettings) -> None:
    if classes < 2 or classes > features.count:
        raise UserError(f"classes = {classes}: TURTLE needs 2 to as many as there are images, {features.count}")
    if settings.steps < 1:
        raise UserError(f"steps = {settings.steps}: TURTLE needs 1 or more")
    if "auto" in (settings.warm_start, settings.scaling):
        raise UserError("warm_start, scaling = auto: one training needs one of both; choose_turtle tries them")


def train_turtle(
    features: FeatureBlocks,
    classes: int,
    settings: TurtleSettings,
    *,
    seed: int,
    device: torch.device = _CPU,
    memory_budget: int = 1 << 31,
) -> Turtle:
    """Find a labelling without labels.

    The result is the same for a seed and a number of threads.

    Args:
        features: Features of n images, D columns.
        classes: Number of classes C.
        settings: Length, rates and scaling, without ``auto``.
        seed: Seed of initial weights and batches.
        device: Where to train.
        memory_budget: Bytes of features that may be held on the device; above it they are read for every batch.

    Returns:
        The task encoder.

    Raises:
        UserError: There are fewer images than classes, features are not finite, there are no steps, a setting is
            ``auto``, or the objective stopped being finite.
    """
    _check(features, classes, settings)
    generator = torch.Generator().manual_seed(seed)
    mean, inverse_scale = _scale(features, settings, device)
    encoder = weight_norm(initial_linear(features.dimension, classes, generator)).to(device)
    optimizer = torch.optim.Adam(encoder.parameters(), lr=settings.learning_rate)
    inner = InnerClassifier(features.dimension, classes, settings.inner_learning_rate, generator, device)
    reader = RowReader(features, device, memory_budget)
    history = np.empty(settings.steps)
    whole = features.count <= settings.batch_size
    rows = torch.empty(0)
    with progress(_batches(features.count, settings, seed), "TURTLE", total=settings.steps) as bar:
        for step, batch in enumerate(bar):
            if step == 0 or not whole:
                rows = (reader(batch) - mean) * inverse_scale  # (B, D)
            if step and not settings.warm_start:
                inner.restart()
            probability = encoder(rows).softmax(dim=1)  # (B, C)
            inner.train(rows, probability.detach(), settings.inner_steps)
            log_probability = inner.logits(rows).log_softmax(dim=1)
            objective = turtle_objective(probability, log_probability, settings.entropy_weight)
            optimizer.zero_grad(set_to_none=True)
            objective.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            history[step] = objective.item()
    if not np.isfinite(history[-1]):
        raise UserError(f"learning_rate = {settings.learning_rate}: TURTLE's objective is not finite; lower the rate")
    return Turtle(encoder, mean, inverse_scale, history)
