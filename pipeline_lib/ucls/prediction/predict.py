"""Predicts the clusters of new images."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from pipeline_lib.backbones.extraction import batch_features
from pipeline_lib.base.errors import UserError
from pipeline_lib.base.progress import progress
from pipeline_lib.ucls.prediction.images import FoundImages, image_batches
from pipeline_lib.ucls.prediction.model import TrainedModel
from pipeline_lib.ucls.prediction.output import Table
from pipeline_lib.ucls.probe.classifier import PredictionBlock

Unreadable = Literal["skip", "stop"]


@dataclass(frozen=True)
class PredictionSummary:
    """What was done.

    Attributes:
        predicted: Images that were predicted.
        skipped: Images that could not be read.
        seconds: Time from the first to the last image.
    """

    predicted: int
    skipped: int
    seconds: float

    @property
    def images_per_second(self) -> float:
        """Predicted images a second."""
        return self.predicted / self.seconds


def predict_images(
    fabric: Any,
    model: TrainedModel,
    found: FoundImages,
    table: Table,
    *,
    batch_size: int,
    workers: int,
    unreadable: Unreadable,
    warn: Callable[[str], None],
) -> PredictionSummary:
    """Predict images in their order and write each batch as it is done.

    Args:
        fabric: The launched engine; its precision is that of the features.
        model: The model.
        found: The images.
        table: Where predictions go.
        batch_size: Images a batch.
        workers: Processes that decode; 0 decodes in this one.
        unreadable: ``skip`` leaves out images that cannot be used, ``stop`` ends at the first.
        warn: Is given one line for each image that is left out.

    Returns:
        Counts and time.

    Raises:
        UserError: An image cannot be used and ``unreadable`` is ``stop``, no image can be used, or the model gives
            values that are not finite.
    """
    module = fabric.to_device(model.module).eval()
    predicted = skipped = start = 0
    started = time.monotonic()
    nothing: tuple[object, ...] = ()
    with progress(nothing, "predict", total=len(found.references), unit="image") as bar:
        for batch in image_batches(found.references, model.backbone.transform(), batch_size, workers):
            for error in batch.errors:
                if unreadable == "stop":
                    raise UserError(f"{error}; --unreadable skip leaves such images out")
                warn(str(error))
            if batch.images is not None:
                names = [found.references[start + position].name for position in batch.used]
                features = batch_features(fabric, module.extractor, batch.images)
                table.add(names, _block(module.classify(features)[0], predicted, names))
            predicted += len(batch.used)
            skipped += len(batch.errors)
            start += len(batch.used) + len(batch.errors)
            bar.update(len(batch.used) + len(batch.errors))
    if not predicted:
        raise UserError(f"none of the {skipped} images can be used")
    return PredictionSummary(predicted, skipped, time.monotonic() - started)


def _block(probability: torch.Tensor, first: int, names: list[str]) -> PredictionBlock:
    probabilities = probability.cpu().numpy()  # (B, C)
    finite = np.isfinite(probabilities).all(axis=1)
    if not finite.all():
        raise UserError(f"{names[int(np.argmin(finite))]}: the model gives values that are not finite; use float32")
    rows = slice(first, first + len(names))
    return PredictionBlock(rows, probabilities.argmax(axis=1).astype(np.int32), probabilities)
