"""Stage detection: fine-tune a detector from a checkpoint and evaluate it."""

from __future__ import annotations

from typing import Any

from pipeline_lib.artifacts.checkpoint import open_checkpoint
from pipeline_lib.artifacts.dataset import open_dataset
from pipeline_lib.artifacts.detections import write_detections
from pipeline_lib.artifacts.objects import open_objects
from pipeline_lib.base import runtime
from pipeline_lib.base.gathering import gathered_objects
from pipeline_lib.base.row_blocks import spread_rows
from pipeline_lib.images.normalisation import Normalisation
from pipeline_lib.segins.transfer.detection.detector import build_detector
from pipeline_lib.segins.transfer.detection.evaluation import check_objects, evaluate_detections
from pipeline_lib.segins.transfer.detection.inference import detect, joined_detections
from pipeline_lib.segins.transfer.detection.samples import EvaluationSamples, TrainingSamples, evaluation_split
from pipeline_lib.segins.transfer.detection.training import DetectionTrainer
from stages._context import SegInsContext, run_segins_stage
from stages._resumable import ResumableTraining


def run(context: SegInsContext) -> None:
    """Train, or go on from where an interrupted run of the same settings stopped; then test."""
    section, machine = context.params.detection, context.params.machine
    fabric = runtime.start(machine.device, "float32", context.seed)
    dataset, objects = open_dataset(context.images(context.target)), open_objects(context.objects(context.target))
    check_objects(objects, section)
    split = evaluation_split(dataset)
    checkpoint = open_checkpoint(context.checkpoint(context.start))
    normalisation = Normalisation(checkpoint.mean, checkpoint.std)
    samples = TrainingSamples.of(dataset, objects, normalisation, section, context.seed)
    weights, where = checkpoint.backbone(), str(checkpoint.folder)
    classes = len(objects.class_names)
    detector = build_detector(checkpoint.architecture, weights, classes, section, where, context.seed)
    trainer = DetectionTrainer(fabric, section, detector, samples, machine.worker_count)
    inputs = [dataset.folder, objects.folder, checkpoint.folder]
    training = ResumableTraining[list[dict[str, Any]]](context, fabric, section.model_dump(), inputs)
    history = training.run(trainer)
    rows = spread_rows(dataset.splits[split], section.test_images)
    share = runtime.block_of_rank(len(rows), fabric.global_rank, fabric.world_size)
    own = rows[share.start : share.stop]
    tested = EvaluationSamples(dataset, split, own, normalisation, section.short_sides[-1], section.longest_side)
    found = gathered_objects(detect(trainer.detector, tested, section.batch_size, machine.worker_count, fabric.device))
    if not found:
        return
    detections = joined_detections(found)
    scores = evaluate_detections(detections, objects, section)
    write_detections(
        context.transfer("detection"),
        detections,
        class_names=objects.class_names,
        split=split,
        metrics=scores.metrics,
        class_precision=scores.class_precision,
        history=history,
        made_by=context.made_by(section.model_dump() | {"seed": context.seed}),
    )
    told = {"metric": section.metric, "iterations": section.iterations, "loss": history[-1]["loss"]}
    context.write_metrics(scores.metrics | told | {"test_images": len(rows), "detections": len(detections)})
    training.discard()
    shown = ", ".join(f"{name} {100 * value:.1f}" for name, value in scores.metrics.items())
    context.report(f"{section.iterations} steps, loss {told['loss']:.3f}, {shown} on {len(rows)} images of {split}")


if __name__ == "__main__":
    run_segins_stage(run, "detection", "Fine-tune a detector from a checkpoint.", ("data", "start", "target"))
