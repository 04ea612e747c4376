"""Measures, pictures and weights of a trained segmenter."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from lightning_fabric import Fabric
from numpy.typing import NDArray

from pipeline_lib.artifacts.dataset import Dataset
from pipeline_lib.artifacts.objects import Objects
from pipeline_lib.artifacts.segmentations import SegmentedMode
from pipeline_lib.images.normalisation import Normalisation
from pipeline_lib.segins.transfer.segmentation.inference import evaluate_maps, predicted_maps
from pipeline_lib.segins.transfer.segmentation.training import SegmentationTrainer
from pipeline_lib.segins.transfer.settings import SegmentationSettings

KEPT = 32
"""Test images whose predicted maps are kept for pictures."""


def evaluated_mode(
    trainer: SegmentationTrainer,
    dataset: Dataset,
    objects: Objects,
    split: str,
    rows: NDArray[np.int64],
    normalisation: Normalisation,
    settings: SegmentationSettings,
    fabric: Fabric,
) -> tuple[SegmentedMode, dict[str, Any]]:
    """Test a trained segmenter.

    Args:
        trainer: The trainer, at its end.
        dataset: The images.
        objects: Their true maps.
        split: Split that is tested.
        rows: Rows of the split.
        normalisation: Of the pixels.
        settings: Settings.
        fabric: Where to compute.

    Returns:
        What the artifact keeps, and the measures ``miou``, ``pixel_acc`` and ``loss``.
    """
    ids = dataset.ids(split)
    kept: dict[int, NDArray[np.uint8]] = {}

    def keep(row: int, found: NDArray[np.uint8]) -> None:
        if len(kept) < KEPT:
            kept[int(ids[row])] = found

    names = ("background", *objects.class_names)
    predicted = predicted_maps(
        trainer.segmenter, dataset, split, rows, normalisation, settings.short_side, fabric.device
    )
    matrix = evaluate_maps(predicted, dataset, objects, split, len(names), keep)
    iou = {
        name: None if math.isnan(value) else round(value, 4)
        for name, value in zip(names, matrix.class_iou().tolist(), strict=True)
    }
    mode = SegmentedMode(kept, trainer.segmenter.linear_layer(), iou, trainer.history)
    return mode, matrix.measures() | {"loss": trainer.history[-1]["loss"]}
