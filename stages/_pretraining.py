"""What the two pretraining stages share: training with resumption, checkpoint and metrics."""

from __future__ import annotations

from typing import Any

from pipeline_lib.artifacts.checkpoint import write_checkpoint
from pipeline_lib.artifacts.dataset import open_dataset
from pipeline_lib.artifacts.masks import Masks
from pipeline_lib.base import runtime
from pipeline_lib.images.decoding import decode
from pipeline_lib.segins.pretraining.run import build_pretrainer, final_metrics, trained_weights
from pipeline_lib.segins.pretraining.settings import SegInsSettings
from pipeline_lib.segins.pretraining.training import Timing
from stages._context import SegInsContext
from stages._precision import check_equal_precision, with_precision
from stages._resumable import ResumableTraining


def train(context: SegInsContext, origin: str, segins: SegInsSettings | None, masks: Masks | None) -> None:
    """Train, or go on from where an interrupted run of the same settings stopped; write checkpoint and metrics.

    Args:
        context: Parameters and paths.
        origin: ``baseline`` or ``segins``.
        segins: Settings of the segmentation branch; None: the baseline.
        masks: Pseudo-masks; None for the baseline.
    """
    own = context.params.method_settings(context.method)
    machine, seed = context.params.machine, context.seed
    section, precision = with_precision(context.params.pretrain.for_method(own), machine.device)
    memory, workers = machine.memory_bytes, machine.worker_count
    fabric = runtime.start(machine.device, precision, seed)
    check_equal_precision(precision)
    dataset = open_dataset(context.images())
    settings: dict[str, Any] = {"seed": seed, "pretrain": section.model_dump(), context.method: own.model_dump()}
    if segins is not None:
        settings["segins"] = segins.model_dump(by_alias=True)
    inputs = [dataset.folder] if masks is None else [dataset.folder, masks.folder]
    training = ResumableTraining[Timing](context, fabric, settings, inputs)
    trainer = build_pretrainer(
        fabric, section, context.method, own, segins, dataset, masks, decode, seed, memory, workers
    )
    timing = training.run(trainer)
    if not fabric.is_global_zero:
        return
    backbone, projector = trained_weights(trainer.method)
    write_checkpoint(
        context.checkpoint(f"{context.method}-{origin}"),
        architecture=section.architecture,
        method=context.method,
        origin=origin,
        backbone=backbone,
        projector=projector,
        history=trainer.history,
        made_by=context.made_by(settings),
    )
    metrics = final_metrics(trainer.history)
    context.write_metrics(metrics)
    training.discard()
    context.report(f"{section.epochs} epochs, loss {metrics['loss']:.4f}, {timing.text()}")
