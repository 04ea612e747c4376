"""Training of the whole grid at once and the choice of one classifier (DINOv2's linear evaluation; thesis 6.2)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline_lib.base.errors import UserError
from pipeline_lib.base.progress import progress
from pipeline_lib.base.row_blocks import row_blocks
from pipeline_lib.base.runtime import as_float64
from pipeline_lib.base.settings import Precision
from pipeline_lib.features.blocks import FeatureBlocks
from pipeline_lib.features.moments import column_moments
from pipeline_lib.features.row_reader import RowReader
from pipeline_lib.ucls.probe.batched import BatchedClassifiers
from pipeline_lib.ucls.probe.features import FeatureInput
from pipeline_lib.ucls.probe.grid import (
    ClassifierSetting,
    classifier_settings,
    cosine_factor,
    scaled_rate,
)
from pipeline_lib.ucls.probe.result import GridResult, TrainedInput, best_of
from pipeline_lib.ucls.probe.sampling import batches, split_rows
from pipeline_lib.ucls.probe.scaling import scaling_tensors
from pipeline_lib.ucls.probe.settings import GridSettings

_CHUNK_ELEMENTS = 1 << 22
_INITIAL_STREAM = 2
_CPU = torch.device("cpu")
_SMALL_PRODUCTS = 1 << 29


def _checked_labels(labels: NDArray[np.integer[Any]], classes: int, count: int) -> NDArray[np.int64]:
    if labels.shape != (count,) or not np.issubdtype(labels.dtype, np.integer):
        raise UserError(f"labels: expected {count} integers, got {labels.dtype} of shape {labels.shape}")
    if count and (labels.min() < -1 or labels.max() >= classes):
        found = f"{labels.min()} to {labels.max()}"
        raise UserError(f"labels: {found} with classes = {classes}; allowed: 0 to classes - 1, and -1 for unknown")
    return labels.astype(np.int64)


def _checked_weights(weights: NDArray[np.floating[Any]], rows: NDArray[np.int64], count: int) -> NDArray[np.float32]:
    """Sample weights divided by their mean over the training rows, so that equal weights change nothing."""
    if weights.shape != (count,) or not (np.isfinite(weights).all() and (weights >= 0).all()):
        raise UserError(f"sample_weights: expected {count} finite numbers, none negative, got shape {weights.shape}")
    mean = float(weights[rows].mean(dtype=np.float64))
    if mean == 0:
        raise UserError("sample_weights: all training rows have weight 0; at least one must be positive")
    return (weights / mean).astype(np.float32)


@contextmanager
def _fitting_threads(products: int, device: torch.device) -> Iterator[None]:
    """One CPU thread inside the block where an iteration has few multiplications.

    Such an iteration takes some ten milliseconds on one core at most. Threads would gain little, and where the cores
    are shared with other programs each hand-over between threads waits for a time slice: forty times slower, measured.
    """
    before = torch.get_num_threads()
    if device.type == "cpu" and products <= _SMALL_PRODUCTS:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _Trainer:
    """The grid during training: one :class:`TrainedInput` for each feature input."""

    def __init__(
        self,
        inputs: Sequence[FeatureInput],
        trained: Sequence[TrainedInput],
        reader: RowReader,
        labels: NDArray[np.int64],
        weights: NDArray[np.float32] | None,
        device: torch.device,
    ) -> None:
        self._inputs = inputs
        self._trained = trained
        self._reader = reader
        self._device = device
        self._labels = torch.from_numpy(labels).to(device)
        self._weights = None if weights is None else torch.from_numpy(weights).to(device)

    def scaled(self, rows: NDArray[np.int64]) -> list[Tensor]:
        """Scaled features of each input, (b, D) contiguous."""
        features = self._reader(rows)
        return [
            (one.take(features) - own.mean) * own.inverse_scale
            for one, own in zip(self._inputs, self._trained, strict=True)
        ]

    def train(self, chunk: NDArray[np.int64], factors: Sequence[float]) -> None:
        """Train on the batches ``chunk`` (c, B), in order, with these factors of the learning rates."""
        size = chunk.shape[1]
        features = self.scaled(chunk.reshape(-1))
        where = torch.from_numpy(chunk).to(self._device)
        labels = self._labels[where]  # (c, B)
        weights = None if self._weights is None else self._weights[where]
        for number, factor in enumerate(factors):
            own = None if weights is None else weights[number]
            for rows, one in zip(features, self._trained, strict=True):
                one.classifiers.step(rows[number * size : (number + 1) * size], labels[number], own, factor)

    def predictions(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """What each classifier makes of ``rows`` (b,), computed in blocks.

        Returns:
            Predicted classes, (S, b) int32, and mean cross-entropy with the rows' labels in nats, (S,) float64.
        """
        widest = max(one.classifiers.weight.shape[1] for one in self._trained)
        step = max(1, _CHUNK_ELEMENTS // max(widest, sum(one.dimension for one in self._inputs)))
        predicted, loss = [], np.zeros(sum(one.classifiers.count for one in self._trained))
        for block in row_blocks(len(rows), step):
            labels = self._labels[torch.from_numpy(rows[block]).to(self._device)]  # (c,)
            features = self.scaled(rows[block])
            logits = [one.classifiers.logits(x) for x, one in zip(features, self._trained, strict=True)]  # (c, R, C)
            predicted.append(torch.cat([one.argmax(dim=-1) for one in logits], dim=1).t().to(torch.int32).cpu().numpy())
            loss += torch.cat([_summed_cross_entropy(one, labels) for one in logits]).cpu().numpy()
        return np.concatenate(predicted, axis=1), loss / len(rows)


def _summed_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of R classifiers, summed over the rows: (R,) float64 from logits (c, R, C) and labels (c,)."""
    own = logits.gather(2, labels.view(-1, 1, 1).expand(-1, logits.shape[1], 1)).squeeze(2)  # (c, R)
    return as_float64(logits.logsumexp(dim=2) - own).sum(dim=0)


def _initial(
    features: FeatureBlocks,
    inputs: Sequence[FeatureInput],
    classes: int,
    settings: GridSettings,
    seed: int,
    precision: Precision,
    device: torch.device,
) -> tuple[TrainedInput, ...]:
    moments = column_moments(features)
    rates = [scaled_rate(rate, settings.batch_size) for rate in settings.rates]
    seeds = np.random.SeedSequence([seed, _INITIAL_STREAM]).generate_state(len(inputs), np.uint64)
    result = []
    for one, own_seed in zip(inputs, seeds, strict=True):
        mean, inverse_scale = scaling_tensors(settings.scaling, moments, one.columns)
        generator = torch.Generator().manual_seed(int(own_seed >> np.uint64(1)))
        own = BatchedClassifiers(one.dimension, classes, rates, generator, device, precision)
        result.append(TrainedInput(mean.to(device), inverse_scale.to(device), own))
    return tuple(result)


def _train(trainer: _Trainer, rows: NDArray[np.int64], settings: GridSettings, seed: int, width: int) -> None:
    """All iterations on ``rows``; ``width`` is the number of float32 values that a row takes while it is worked on."""
    per_chunk = max(1, _CHUNK_ELEMENTS // (settings.batch_size * width))
    done = 0
    with progress(range(settings.iterations), "linear grid") as bar:
        for chunk in batches(rows, settings.batch_size, settings.iterations, per_chunk, seed):
            factors = [cosine_factor(i, settings.iterations) for i in range(done, done + len(chunk))]
            trainer.train(chunk, factors)
            done += len(chunk)
            bar.update(len(chunk))


def _chosen(
    trainer: _Trainer,
    trained: tuple[TrainedInput, ...],
    grid: tuple[ClassifierSetting, ...],
    labels: NDArray[np.int64],
    split: tuple[NDArray[np.int64], NDArray[np.int64]],
    settings: GridSettings,
) -> GridResult:
    """Score the trained classifiers on the held-out rows and choose one; ``split`` is training and held-out rows."""
    training, held_out = split
    diverged = tuple(flag for one in trained for flag in one.classifiers.silence_diverged())
    predicted, entropy = trainer.predictions(held_out)  # (S, m), (S,)
    pairs = zip(diverged, predicted, strict=True)
    accuracy = tuple(None if bad else float((row == labels[held_out]).mean()) for bad, row in pairs)
    loss = tuple(None if bad else float(value) for bad, value in zip(diverged, entropy, strict=True))
    return GridResult(
        settings=grid,
        held_out_accuracy=accuracy,
        held_out_loss=loss,
        diverged=diverged,
        chosen=best_of(accuracy, loss),
        training_rows=len(training),
        held_out_rows=len(held_out),
        scaling=settings.scaling,
        trained=trained,
    )


@torch.no_grad()
def train_linear_grid(
    features: FeatureBlocks,
    inputs: Sequence[FeatureInput],
    labels: NDArray[np.integer[Any]],
    classes: int,
    settings: GridSettings,
    *,
    seed: int = 0,
    sample_weights: NDArray[np.floating[Any]] | None = None,
    precision: Precision = "float32",
    device: torch.device = _CPU,
    memory_budget: int = 1 << 31,
) -> GridResult:
    """Train one linear classifier for every feature input and rate at once, and choose by held-out labels.

    SGD with momentum 0.9, no weight decay, rates times batch size / 256 and a cosine to 0. With one number of threads
    the result is the same bit by bit for a seed.

    Args:
        features: Features of n images; rows are read by number.
        inputs: Column sets of the features.
        labels: Pseudo-label or true label of each image, (n,) in [0, classes); images with -1 take no part.
        classes: Number of classes C.
        settings: Rates, schedule, held-out share and scaling.
        seed: Seed of the held-out images, the order and the initial weights.
        sample_weights: Weight of each image in the loss, (n,), for example the agreement of the consensus.
        precision: ``bfloat16`` for the matrix products, or ``float32``.
        device: Where to train.
        memory_budget: Bytes of features that may be held on the device; above it they are read for every batch.

    Returns:
        All classifiers with their held-out accuracy and cross-entropy, and the choice: the highest accuracy, of equal
        ones the lowest cross-entropy, then the first.

    Raises:
        UserError: An argument is out of range, the features are not finite, or every classifier diverged.
    """
    grid = classifier_settings(inputs, settings.rates, settings.batch_size)
    known = _checked_labels(labels, classes, features.count)
    training, held_out = split_rows(known, settings.holdout_fraction, seed)
    weights = None if sample_weights is None else _checked_weights(sample_weights, training, features.count)
    trained = _initial(features, inputs, classes, settings, seed, precision, device)
    trainer = _Trainer(inputs, trained, RowReader(features, device, memory_budget), known, weights, device)
    width = sum(one.dimension for one in inputs)
    products = 2 * settings.batch_size * width * len(settings.rates) * classes
    with _fitting_threads(products, device):
        _train(trainer, training, settings, seed, features.dimension + width)
    return _chosen(trainer, trained, grid, known, (training, held_out), settings)
