"""Extracts the features of all images of a data set, in one process or several."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from pipeline_lib.artifacts.features_writer import FeaturesWriter
from pipeline_lib.backbones.extractors import FeatureExtractor
from pipeline_lib.base.errors import UserError
from pipeline_lib.base.progress import progress
from pipeline_lib.base.runtime import all_reduce, block_of_rank

Batches = Iterable[tuple[Tensor, Tensor]]


def extract_features(
    fabric: Any,
    extractor: FeatureExtractor,
    loader_of: Callable[[str, range], Batches],
    writer: FeaturesWriter,
) -> dict[str, float]:
    """Run the extractor over all images; each process takes a contiguous share of every split's rows.

    A row's features do not depend on its batch or on the number of processes, but for rounding of float32. An
    interrupted run goes on after the rows that the writer has kept.

    Args:
        fabric: The launched engine.
        extractor: The frozen model; it is moved to the engine's device.
        loader_of: Gives, for a split and its rows, batches of rows int64 (B,) and images float32 (B, 3, H, W).
        writer: Knows the splits; it is opened and finished here, by all processes together.

    Returns:
        ``images``, ``seconds`` and ``images_per_second`` of all processes together.

    Raises:
        UserError: Features are not finite, or the loader left rows out.
    """
    extractor = fabric.to_device(extractor).eval()
    started = time.monotonic()
    with writer.opened(fabric.global_rank, fabric.broadcast, fabric.barrier):
        for split, count in writer.splits.items():
            rows = block_of_rank(count, fabric.global_rank, fabric.world_size)
            written = writer.done(split)
            left = rows[written:]
            batches = loader_of(split, left) if left else ()
            with progress(batches, f"extract {split}", unit="batch") as bar:
                for batch_rows, images in bar:
                    writer.write(split, batch_rows.numpy(), batch_features(fabric, extractor, images).cpu().numpy())
                    written += len(images)
                    writer.keep(split, written)
            writer.keep(split, written, at_once=True)
            total = int(all_reduce(torch.tensor([written], device=fabric.device)))
            if total != count:
                raise UserError(f"{split}: expected {count} images, the loader gave {total}")
    seconds = time.monotonic() - started
    extracted = sum(writer.splits.values())
    return {"images": extracted, "seconds": seconds, "images_per_second": extracted / seconds}


def batch_features(fabric: Any, extractor: FeatureExtractor, images: Tensor) -> Tensor:
    """Features of one batch in the engine's precision: how they are made here and for new images alike.

    Args:
        fabric: The launched engine.
        extractor: The frozen model, in evaluation mode on the engine's device.
        images: Float32 (B, 3, H, W), preprocessed, on any device.

    Returns:
        Float32 (B, d) on the engine's device.
    """
    with torch.inference_mode(), fabric.autocast():
        images = fabric.to_device(images)
        if extractor.channels_last and fabric.device.type == "cpu":
            images = images.contiguous(memory_format=torch.channels_last)
        features: Tensor = extractor(images)
    return features.float()
