"""What the two pretraining stages share: training with resumption, checkpoint and metrics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pipeline_lib
from pipeline_lib.artifacts.checkpoint import write_checkpoint
from pipeline_lib.artifacts.dataset import open_dataset
from pipeline_lib.artifacts.masks import Masks
from pipeline_lib.artifacts.resume import ResumableState, run_fingerprint
from pipeline_lib.base import runtime
from pipeline_lib.images.decoding import decode
from pipeline_lib.segins.pretraining.run import build_pretrainer, final_metrics, trained_weights
from pipeline_lib.segins.pretraining.settings import MocoSettings, SegInsSettings, SimSiamSettings
from pipeline_lib.segins.pretraining.training import Pretrainer
from stages._context import SegInsContext


def method_settings(context: SegInsContext) -> SimSiamSettings | MocoSettings:
    """Settings of the run's method."""
    return context.params.simsiam if context.method == "simsiam" else context.params.moco


def train(context: SegInsContext, origin: str, segins: SegInsSettings | None, masks: Masks | None) -> None:
    """Train, or go on from where an interrupted run of the same settings stopped; write checkpoint and metrics.

    Args:
        context: Parameters and paths.
        origin: ``baseline`` or ``segins``.
        segins: Settings of the segmentation branch; None: the baseline.
        masks: Pseudo-masks; None for the baseline.
    """
    section, own = context.params.pretrain, method_settings(context)
    machine, seed = context.params.machine, context.seed
    fabric = runtime.start(machine.device, section.precision, seed)
    dataset = open_dataset(context.images())
    settings: dict[str, Any] = {"seed": seed, "pretrain": section.model_dump(), context.method: own.model_dump()}
    if segins is not None:
        settings["segins"] = segins.model_dump(by_alias=True)
    state = _resumable_state(context, settings, fabric.world_size, masks)
    trainer = build_pretrainer(fabric, section, own, segins, dataset, masks, decode, seed, machine)
    stored = state.load()
    if stored is not None:
        trainer.resume(stored)
        fabric.print(f"{context.stage}@{context.run}: resuming in epoch {trainer.epoch + 1} of {section.epochs}")

    def store(trainer: Pretrainer) -> None:
        if fabric.is_global_zero and state.due():
            state.store(trainer.state())

    timing = trainer.run(after_step=store)
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
    state.discard()
    context.report(f"{section.epochs} epochs, loss {metrics['loss']:.4f}, {timing.text()}")


def _resumable_state(
    context: SegInsContext, settings: dict[str, Any], processes: int, masks: Masks | None
) -> ResumableState:
    # A state must not be taken up by other code; hashing all of it costs nothing and forgets no import.
    code = [Path(pipeline_lib.__file__).parent]
    inputs = [context.images()] if masks is None else [context.images(), masks.folder]
    fingerprint = run_fingerprint(settings | {"processes": processes}, code, inputs)
    return ResumableState(context.stage, fingerprint, context.params.machine.checkpoint_seconds)
