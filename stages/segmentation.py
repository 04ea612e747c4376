"""Stage segmentation: a linear layer on a checkpoint's dilated features, frozen and fine-tuned (thesis 4.3.3)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

import pipeline_lib
from pipeline_lib import runtime
from pipeline_lib.artifacts.checkpoint import open_checkpoint
from pipeline_lib.artifacts.dataset import open_dataset
from pipeline_lib.artifacts.objects import open_objects
from pipeline_lib.artifacts.resume import ResumableState, run_fingerprint
from pipeline_lib.artifacts.segmentations import SegmentedMode, write_segmentations
from pipeline_lib.transfer.normalisation import Normalisation
from pipeline_lib.transfer.segmentation.evaluation import evaluated_mode
from pipeline_lib.transfer.segmentation.model import build_segmenter
from pipeline_lib.transfer.segmentation.samples import TrainingCrops, rows_with_maps
from pipeline_lib.transfer.segmentation.training import SegmentationTrainer
from pipeline_lib.transfer.spread import spread_rows
from stages.segins_command_line import SegInsContext, run_segins_stage

SPLIT = "val"


def run(context: SegInsContext) -> None:
    """Train and test each mode, or go on from where an interrupted run of the same settings stopped."""
    section = context.params.segmentation
    images, maps = context.images(context.target), context.objects(context.target)
    dataset, objects = open_dataset(images), open_objects(maps)
    checkpoint = open_checkpoint(context.checkpoint(context.start))
    normalisation = Normalisation(checkpoint.mean, checkpoint.std)
    mapped = rows_with_maps(dataset, objects, SPLIT)
    tested = mapped[spread_rows(len(mapped), section.test_images)]
    crops = TrainingCrops(
        dataset,
        objects,
        normalisation,
        short_side=section.short_side,
        crop_size=section.crop_size,
        seed=section.seed,
    )
    code, inputs = [Path(pipeline_lib.__file__).parent], [images, maps, checkpoint.folder]
    modes: dict[str, SegmentedMode] = {}
    metrics: dict[str, Any] = {}
    for mode in section.modes:
        fabric = runtime.start(section.device, "float32", section.seed)
        torch.manual_seed(section.seed)
        segmenter = build_segmenter(
            checkpoint.architecture,
            checkpoint.backbone(),
            len(objects.class_names) + 1,
            str(checkpoint.folder),
            frozen=mode == "frozen",
        )
        trainer = SegmentationTrainer(fabric, section, segmenter, crops)
        fingerprint = run_fingerprint(section.model_dump() | {"mode": mode}, code, inputs)
        state = ResumableState("segmentation", fingerprint, section.checkpoint_seconds)
        stored = state.load()
        if stored is not None:
            trainer.resume(stored)
            print(f"segmentation@{context.run}: {mode} resuming after step {trainer.iteration}")
        # State of a finished mode stays until the artifact is written: an interruption repeats no mode.
        trainer.run(after_step=lambda trainer, state=state: state.store(trainer.state()) if state.due() else None)  # type: ignore[misc]
        state.store(trainer.state())
        modes[mode], figures = evaluated_mode(trainer, dataset, objects, SPLIT, tested, normalisation, section, fabric)
        metrics |= {f"{mode}_{name}": round(value, 4) for name, value in figures.items()}
        context.report(f"{mode}: {section.iterations} steps, mIoU {100 * figures['miou']:.1f}")
    made_by = context.made_by(section.model_dump())
    folder = context.transfer("segmentation")
    write_segmentations(folder, modes, class_names=objects.class_names, split=SPLIT, made_by=made_by)
    context.write_metrics(metrics | {"iterations": section.iterations, "test_images": len(tested)})
    for mode in section.modes:
        fingerprint = run_fingerprint(section.model_dump() | {"mode": mode}, code, inputs)
        ResumableState("segmentation", fingerprint, 0).discard()


if __name__ == "__main__":
    run_segins_stage(
        run, "segmentation", "Linear segmentation on a checkpoint's features.", ("data", "start", "target")
    )
