"""Stage segmentation: a linear layer on a checkpoint's dilated features, frozen and fine-tuned (thesis 4.3.3)."""

from __future__ import annotations

from typing import Any

from lightning_fabric import Fabric

from pipeline_lib.artifacts.checkpoint import Checkpoint, open_checkpoint
from pipeline_lib.artifacts.dataset import open_dataset
from pipeline_lib.artifacts.objects import open_objects
from pipeline_lib.artifacts.segmentations import SegmentedMode, write_segmentations
from pipeline_lib.base import runtime
from pipeline_lib.base.row_blocks import spread_rows
from pipeline_lib.images.normalisation import Normalisation
from pipeline_lib.segins.transfer.segmentation.evaluation import evaluated_mode
from pipeline_lib.segins.transfer.segmentation.model import build_segmenter
from pipeline_lib.segins.transfer.segmentation.samples import TrainingCrops, rows_with_maps
from pipeline_lib.segins.transfer.segmentation.training import SegmentationTrainer
from stages._context import SegInsContext, run_segins_stage
from stages._resumable import ResumableTraining

SPLIT = "val"


def run(context: SegInsContext) -> None:
    """Train and test each mode, or go on from where an interrupted run of the same settings stopped."""
    section, machine = context.params.segmentation, context.params.machine
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
        seed=context.seed,
    )
    inputs = [images, maps, checkpoint.folder]
    trainings: list[ResumableTraining[Any]] = []
    modes: dict[str, SegmentedMode] = {}
    metrics: dict[str, Any] = {}
    for mode in section.modes:
        fabric = runtime.start(machine.device, "float32", context.seed)
        trainings.append(ResumableTraining(context, fabric, section.model_dump(), inputs, part=mode))
        trainer = _new_trainer(context, checkpoint, len(objects.class_names) + 1, mode, crops, fabric)
        trainings[-1].run(trainer)
        found = evaluated_mode(trainer, dataset, objects, SPLIT, tested, normalisation, section, fabric)
        if found is None:
            continue
        modes[mode], measures = found
        metrics |= {f"{mode}_{name}": round(value, 4) for name, value in measures.items()}
        context.report(f"{mode}: {section.iterations} steps, mIoU {100 * measures['miou']:.1f}")
    if not fabric.is_global_zero:
        return
    made_by = context.made_by(section.model_dump() | {"seed": context.seed})
    folder = context.transfer("segmentation")
    write_segmentations(folder, modes, class_names=objects.class_names, split=SPLIT, made_by=made_by)
    context.write_metrics(metrics | {"iterations": section.iterations, "test_images": len(tested)})
    for training in trainings:
        training.discard()


def _new_trainer(
    context: SegInsContext,
    checkpoint: Checkpoint,
    classes: int,
    mode: str,
    crops: TrainingCrops,
    fabric: Fabric,
) -> SegmentationTrainer:
    section = context.params.segmentation
    weights, where = checkpoint.backbone(), str(checkpoint.folder)
    segmenter = build_segmenter(
        checkpoint.architecture, weights, classes, where, frozen=mode == "frozen", stage=section.stage
    )
    return SegmentationTrainer(fabric, section, segmenter, crops, context.params.machine.worker_count)


if __name__ == "__main__":
    run_segins_stage(
        run, "segmentation", "Linear segmentation on a checkpoint's features.", ("data", "start", "target")
    )
