"""Part ``extract``: images a second of DINOv2-shaped backbones, as tensors on the device and from JPEG files."""

from __future__ import annotations

import io
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.measuring import Part
from pipeline_lib.artifacts.dataset import Dataset, open_dataset
from pipeline_lib.artifacts.dataset_writer import DatasetWriter
from pipeline_lib.artifacts.features_writer import FeaturesWriter
from pipeline_lib.backbones.attention_features import AttentionExtractor
from pipeline_lib.backbones.build import Backbone, build_backbone
from pipeline_lib.backbones.extraction import batch_features, extract_features
from pipeline_lib.backbones.settings import BackboneSettings, WeightsSettings
from pipeline_lib.base import runtime
from pipeline_lib.base.settings import Precision
from pipeline_lib.images.transforms import image_loader

MODELS = ("vit_large_patch14_dinov2.lvd142m", "vit_base_patch14_dinov2.lvd142m")
_MADE_BY = {"stage": "benchmark"}
_DISTINCT = 64
_FILES_BATCH = 64
_WIDTH, _HEIGHT = 500, 375


def run(part: Part) -> None:
    """Measure tensors in both precisions, then JPEG in bfloat16, with half of the cores and with nearly all."""
    side, batch, count = (32, 2, 6) if part.tiny else (224, 256, 6144)
    backbones = []
    for model in ("vit_tiny_patch16_224",) if part.tiny else MODELS:
        weights = WeightsSettings(source="none")
        backbones.append(build_backbone(BackboneSettings(model=model, weights=weights, image_size=side)))
        on_tensors(part, backbones[-1], side, batch)
    dataset = jpeg_images(part.folder / "images", count)
    cores = os.cpu_count() or 1
    for workers in sorted({max(1, cores // 2), max(1, cores - 1)}):
        loader_alone(part, dataset, backbones[0], min(batch, _FILES_BATCH), workers)
        for backbone in backbones:
            if part.left() < 12 and not part.tiny:
                part.row(f"{workers} workers, {backbone.config.model}: left out", seconds_left=part.left())
                continue
            from_files(part, dataset, backbone, min(batch, _FILES_BATCH), workers)


def on_tensors(part: Part, backbone: Backbone, side: int, batch: int) -> None:
    """Images that are on the device already: what the card can do."""
    images = torch.randn(batch, 3, side, side, device=part.device)
    precisions: tuple[Precision, ...] = ("bfloat16", "float32")
    for precision in precisions:
        fabric = runtime.start(_name(part), precision)
        part.reset_peak()
        extractor = backbone.extractor.to(part.device).eval()
        seconds = part.seconds_a_call(lambda: batch_features(fabric, extractor, images), at_least=2.0)  # noqa: B023
        what = f"{backbone.config.model}, {side} px, batch {batch}, {precision}"
        part.row(f"tensors, {what}", images_a_second=batch / seconds, **part.peaks())
        if precision == "bfloat16":
            attention = AttentionExtractor(backbone, "value").to(part.device).eval()

            def values(fabric: Any = fabric, attention: AttentionExtractor = attention) -> None:
                with torch.inference_mode(), fabric.autocast():
                    attention(images)

            seconds = part.seconds_a_call(values, at_least=1.0)
            part.row(f"values of the last attention, {what}", images_a_second=batch / seconds)


def loader_alone(part: Part, dataset: Dataset, backbone: Backbone, batch: int, workers: int) -> None:
    """The loader without a network: what the workers can do."""
    loader = image_loader(dataset, "train", range(dataset.splits["train"]), backbone.transform(), batch, workers)
    started, first, images = time.perf_counter(), 0.0, 0
    for rows, _ in loader:
        if not first:
            # Processes start until the first batch is there.
            first = time.perf_counter()
        else:
            images += len(rows)
    rate = images / (time.perf_counter() - first)
    part.row(f"loader alone, {workers} workers", images_a_second=rate, start_seconds=first - started)


def from_files(part: Part, dataset: Dataset, backbone: Backbone, batch: int, workers: int) -> None:
    """The stage's own way from JPEG to the features artifact, in bfloat16."""
    fabric = runtime.start(_name(part), "bfloat16")
    writer = FeaturesWriter(
        part.folder / f"{backbone.config.model}-{workers}",
        splits=dataset.splits,
        blocks=backbone.extractor.blocks,
        default_blocks=backbone.extractor.default_blocks,
        storage="float16",
        backbone=backbone.facts(),
        dataset_digest="generated",
        made_by=_MADE_BY,
    )
    transform = backbone.transform()
    part.reset_peak()
    found = extract_features(
        fabric,
        backbone.extractor,
        lambda split, rows: image_loader(dataset, split, rows, transform, batch, workers),
        writer,
    )
    part.row(
        f"JPEG of {_WIDTH} x {_HEIGHT}, {workers} workers, {backbone.config.model}, batch {batch}, bfloat16",
        images=found["images"],
        images_a_second=found["images_per_second"],
        **part.peaks(),
    )


def jpeg_images(folder: Path, count: int) -> Dataset:
    """A data set of noise with ImageNet's mean size; few pictures that are different, since only decoding counts."""
    rng = np.random.default_rng(0)
    encoded = []
    for _ in range(min(count, _DISTINCT)):
        coarse = Image.fromarray(rng.integers(0, 256, (60, 80, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize((_WIDTH, _HEIGHT), Image.Resampling.BICUBIC), dtype=np.int16)
        noisy = smooth + rng.integers(-12, 13, smooth.shape)
        buffer = io.BytesIO()
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(buffer, format="JPEG", quality=90)
        encoded.append(buffer.getvalue())
    with DatasetWriter(folder, None, None, _MADE_BY) as writer:
        for number in range(count):
            writer.add(number, "train", image=encoded[number % len(encoded)])
    return open_dataset(folder)


def _name(part: Part) -> Any:
    return "cpu" if part.device.type == "cpu" else "cuda"
