"""Train the multi-head classifier on frozen features and their neighbours (thesis 5.2)."""

from __future__ import annotations

from dataclasses import asdict

from pipeline_lib.artifacts.class_count import open_class_count
from pipeline_lib.artifacts.features import open_features
from pipeline_lib.artifacts.heads import write_heads
from pipeline_lib.artifacts.neighbors import open_neighbors
from pipeline_lib.base import runtime
from pipeline_lib.ucls.heads.feature_rows import FeatureRows
from pipeline_lib.ucls.heads.model import HeadShape
from pipeline_lib.ucls.heads.pairs import PairSampler, fitted_batch_size
from pipeline_lib.ucls.heads.start import chosen_start, spectral_starts
from pipeline_lib.ucls.heads.training import HeadTrainer, TrainedHeads
from stages._context import StageContext, chosen_blocks, run_stage
from stages._precision import check_equal_precision, with_precision
from stages._resumable import ResumableTraining


def run(context: StageContext) -> None:
    """Train, or go on from where an interrupted run of the same settings stopped."""
    machine = context.params.machine
    section, precision = with_precision(context.params.train_heads, machine.device)
    fabric = runtime.start(machine.device, "float32", context.seed)
    check_equal_precision(precision)
    features = open_features(context.artifact("features"))
    neighbors = open_neighbors(context.artifact("neighbors"))
    blocks = chosen_blocks(context, features.blocks, features.default_blocks)
    train = features.split("train", blocks)
    classes = open_class_count(context.artifact("classes")).classes
    shape = HeadShape.of(section, train.dimension, train.count, classes)
    batch_size = fitted_batch_size(section.batch_size, train.count, fabric.world_size)
    sampler = PairSampler(train.count, batch_size, section.neighbors_per_image, neighbors.draw, context.seed)
    rows = FeatureRows(train, fabric.device, machine.memory_bytes)
    settings = section.model_dump() | {"seed": context.seed}
    facts = settings | asdict(shape) | {"batch_size": batch_size}
    inputs = [context.artifact("features"), context.artifact("neighbors")]
    training = ResumableTraining[TrainedHeads](context, fabric, facts, inputs)
    start = chosen_start(section.start, train.count, shape.classes)
    clusters = None
    if start == "spectral" and training.is_new:
        clusters = spectral_starts(neighbors, shape.classes, section.heads, context.seed)
    trainer = HeadTrainer(fabric, section, shape, sampler, rows, clusters)
    trained = training.run(trainer)
    if not fabric.is_global_zero:
        return
    write_heads(
        context.artifact("heads"),
        student=trained.student.state_dict(),
        teacher=trained.teacher.state_dict(),
        shape=asdict(shape),
        blocks=blocks,
        temperature=section.student_temperature,
        head_loss=trained.head_loss.tolist(),
        history=trained.history,
        made_by=context.made_by(settings | asdict(trainer.schedule)),
    )
    last = trained.history[-1]
    context.write_metrics(
        {
            "epochs": trainer.schedule.epochs,
            "iterations": trainer.schedule.iterations,
            "batch_size": batch_size,
            "start": start,
            "components": shape.components or shape.features,
            "teacher_momentum": trainer.schedule.teacher_momentum,
            "loss": last["loss"],
            "best_head": trained.best_head,
            "best_head_loss": last["best_head_loss"],
            "prior_entropy": last["prior_entropy"],
        }
    )
    training.discard()
    context.report(f"{section.heads} heads, {trainer.schedule.iterations} iterations, loss {last['loss']:.4f}")


if __name__ == "__main__":
    run_stage(run, "train_heads", "Train the multi-head classifier.")
