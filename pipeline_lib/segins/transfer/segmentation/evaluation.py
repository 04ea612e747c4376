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
from pipeline_lib.base.gathering import gathered_objects
from pipeline_lib.base.runtime import block_of_rank
from pipeline_lib.images.normalisation import Normalisation
from pipeline_lib.segins.transfer.segmentation.inference import evaluate_maps, predicted_maps
from pipeline_lib.segins.transfer.segmentation.scores import ConfusionMatrix
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
) -> tuple[SegmentedMode, dict[str, Any]] | None:
    """Test a trained segmenter; processes share the images.

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
        What the artifact keeps, and the measures ``miou``, ``pixel_acc`` and ``loss``; ``None`` in
        all processes but the first.
    """
    ids = dataset.ids(split)
    kept: dict[int, NDArray[np.uint8]] = {}
    shown = frozenset(rows[:KEPT].tolist())

    def keep(row: int, found: NDArray[np.uint8]) -> None:
        if row in shown:
            kept[int(ids[row])] = found

    names = ("background", *objects.class_names)
    share = block_of_rank(len(rows), fabric.global_rank, fabric.world_size)
    own = rows[share.start : share.stop]
    predicted = predicted_maps(
        trainer.segmenter, dataset, split, own, normalisation, settings.short_side, fabric.device
    )
    parts = gathered_objects((evaluate_maps(predicted, dataset, objects, split, len(names), keep).counts, kept))
    if not parts:
        return None
    matrix = ConfusionMatrix(len(names))
    for counts, maps in parts:
        matrix.counts += counts
        kept.update(maps)
    iou = {
        name: None if math.isnan(value) else round(value, 4)
        for name, value in zip(names, matrix.class_iou().tolist(), strict=True)
    }
    mode = SegmentedMode(kept, trainer.segmenter.linear_layer(), iou, trainer.history)
    return mode, matrix.measures() | {"loss": trainer.history[-1]["loss"]}
