"""Part ``heads``: iterations of the head training at ImageNet's sizes, beside the reference's loop."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import product
from typing import Any

import torch

from benchmarks.generated import GeneratedRows, planted_classes, write_planted_lists
from benchmarks.measuring import Part
from benchmarks.reference_heads import ReferenceHead, ReferenceTrainer
from pipeline_lib.base import runtime
from pipeline_lib.features.blocks import ArrayFeatures
from pipeline_lib.params.params import load_params
from pipeline_lib.ucls.heads.feature_rows import FeatureRows
from pipeline_lib.ucls.heads.model import HeadShape
from pipeline_lib.ucls.heads.pairs import PairSampler
from pipeline_lib.ucls.heads.settings import HeadSettings
from pipeline_lib.ucls.heads.training import HeadTrainer

HIDDEN, BOTTLENECK = 512, 256
TEMI = {
    "input": "none",
    "symmetric": True,
    "sinkhorn_iterations": 0,
    "cross_entropy": 0.0,
    "neighbors_per_image": 1,
}
"""What makes our loss that of the reference's loop."""

LOSSES: dict[str, dict[str, Any]] = {"ucls": {}, "temi": TEMI}
_SECONDS = 1.2


class _EnoughError(Exception):
    """The time of a measurement is over."""


def run(part: Part) -> None:
    """Measure every size: ours with the loss of the thesis, ours with that of TEMI, and the reference."""
    columns, classes, batches = ((24, 48), (6,), (32,)) if part.tiny else ((2048, 768), (1000, 100), (256, 1024))
    heads, count = (3, 256) if part.tiny else (50, 16384)
    labels = planted_classes(count, min(64, count // 4), 0)
    neighbors = write_planted_lists(part.folder / "lists", labels, 10 if part.tiny else 50)
    readers: dict[int, FeatureRows] = {}
    for k, d, batch, precision in product(classes, columns, batches, ("float32", "bfloat16")):
        if part.left() < 12 and not part.tiny:
            part.row(f"from D {d}, K {k}, batch {batch}, {precision} on: left out", seconds_left=part.left())
            return
        if d not in readers:
            rows = GeneratedRows(d, int(labels.max()) + 1, part.device)
            readers[d] = FeatureRows(ArrayFeatures(rows.rows(labels, 0).cpu().numpy()), part.device, 8 << 30)
        settings = head_settings(heads, batch, precision)
        sampler = PairSampler(count, batch, 1, neighbors.draw, 0)
        part.row(
            f"H {heads}, D {d}, K {k}, batch {batch}, {precision}",
            **compared(part, settings, d, k, sampler, readers[d]),
        )


def compared(
    part: Part, settings: HeadSettings, columns: int, classes: int, sampler: PairSampler, rows: FeatureRows
) -> dict[str, float]:
    """Samples a second of ours by loss and of the reference, and their ratios."""
    rates: dict[str, float] = {}
    peaks: dict[str, float] = {}
    for loss, changes in LOSSES.items():
        part.reset_peak()
        rates[loss] = ours(part, settings.model_copy(update=changes), columns, classes, sampler, rows)
        peaks |= {f"{loss}_{name}": value for name, value in part.peaks().items() if name == "device_gib"}
    part.reset_peak()
    reference = reference_loop(part, settings, columns, classes, sampler, rows)
    peaks |= {f"reference_{name}": value for name, value in part.peaks().items() if name == "device_gib"}
    found = {f"{name}_samples_a_second": value for name, value in (rates | {"reference": reference}).items()}
    return found | {f"{name}_ratio": value / reference for name, value in rates.items()} | peaks


def head_settings(heads: int, batch: int, precision: str) -> HeadSettings:
    """The thesis' settings, of a training far longer than what is measured."""
    changes = {
        "heads": heads,
        "start": "random",
        "components": None,
        "hidden": HIDDEN,
        "bottleneck": BOTTLENECK,
        "epochs": 100_000,
        "batch_size": batch,
        "precision": precision,
        "teacher_momentum": 0.996,
    }
    return load_params().train_heads.model_copy(update=changes)


def ours(
    part: Part, settings: HeadSettings, columns: int, classes: int, sampler: PairSampler, rows: FeatureRows
) -> float:
    """Samples a second of the project's trainer, drawing of pairs included."""
    fabric = runtime.start("cpu" if part.device.type == "cpu" else "cuda", "float32", 0)
    shape = HeadShape.of(settings, columns, sampler.count, classes)
    trainer = HeadTrainer(fabric, settings, shape, sampler, rows)
    epochs = 0
    started = 0.0

    def after(_: HeadTrainer) -> None:
        nonlocal epochs, started
        now = time.perf_counter()
        if not started:
            # The first epoch warms up.
            started = now
            return
        epochs += 1
        if part.tiny or now - started > _SECONDS:
            raise _EnoughError

    try:
        trainer.run(after)
    except _EnoughError:
        part.synchronise()
    return epochs * sampler.batches * sampler.batch_size / (time.perf_counter() - started)


def reference_loop(
    part: Part, settings: HeadSettings, columns: int, classes: int, sampler: PairSampler, rows: FeatureRows
) -> float:
    """Samples a second of the reference's loop; it gets its pairs as ours does, from rows on the device."""
    with part.device:
        heads = [ReferenceHead(columns, settings.hidden, settings.bottleneck, classes) for _ in range(settings.heads)]
    trainer = ReferenceTrainer(heads, settings.learning_rate, bfloat16=settings.precision == "bfloat16")
    pairs = sampler.epoch(0, 0, 1)

    def one_step() -> torch.Tensor:
        nonlocal pairs
        batch = next(pairs, None)
        if batch is None:
            pairs = sampler.epoch(0, 0, 1)
            batch = next(pairs)
        return trainer.step(rows(batch[0]), rows(batch[1].ravel()))

    return sampler.batch_size / seconds_a_step(part, one_step)


def seconds_a_step(part: Part, step: Callable[[], torch.Tensor]) -> float:
    """Seconds of a step in a loop that waits for the device every sixteen steps, as an epoch's end does."""

    def some() -> None:
        for _ in range(1 if part.tiny else 16):
            step()

    return part.seconds_a_call(some, at_least=_SECONDS, warm_up=1) / (1 if part.tiny else 16)
