"""Part ``train_heads``: some iterations of the stage's training; all of them are extrapolated."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.imagenet_parts.stage_runs import context_of, stage_row
from benchmarks.measuring import Part
from pipeline_lib.artifacts.features import open_features
from pipeline_lib.artifacts.heads import write_heads
from pipeline_lib.artifacts.neighbors import open_neighbors
from pipeline_lib.base import runtime
from pipeline_lib.ucls.heads.feature_rows import FeatureRows
from pipeline_lib.ucls.heads.model import HeadShape
from pipeline_lib.ucls.heads.pairs import PairSampler, fitted_batch_size
from pipeline_lib.ucls.heads.schedules import Schedule
from pipeline_lib.ucls.heads.training import HeadTrainer

_SECONDS = 60.0


class _EnoughError(Exception):
    """The time of the measurement is over."""


@dataclass(frozen=True)
class FirstBatches(PairSampler):
    """A sampler whose epochs end after their first batches.

    Attributes:
        most: Batches of an epoch.
    """

    most: int = 1

    @property
    def batches(self) -> int:
        """Batches an epoch."""
        return min(self.most, super().batches)

    def epoch(self, epoch: int, rank: int, world_size: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """The first batches of an epoch."""
        for (rows, neighbors), _ in zip(super().epoch(epoch, rank, world_size), range(self.batches), strict=False):
            yield rows, neighbors


def run(part: Part) -> None:
    """Train until the time is over, and write what is trained by then for what follows."""
    context = context_of(part, "train_heads")
    section, machine = context.params.train_heads, context.params.machine
    fabric = runtime.start(machine.device, "float32", context.seed)
    features = open_features(context.artifact("features"))
    neighbors = open_neighbors(context.artifact("neighbors"))
    train = features.split("train")
    shape = HeadShape.of(section, train.dimension, train.count, part.options["classes"])
    batch = fitted_batch_size(section.batch_size, train.count, fabric.world_size)
    arguments = (train.count, batch, section.neighbors_per_image, neighbors.draw, context.seed)
    schedule = Schedule.of(section, PairSampler(*arguments).batches, batch)
    sampler = FirstBatches(*arguments, most=2 if part.device.type == "cpu" else 50)
    part.reset_peak()
    trainers: list[HeadTrainer] = []

    def set_up() -> None:
        rows = FeatureRows(train, fabric.device, machine.memory_bytes)
        trainers.append(HeadTrainer(fabric, section, shape, sampler, rows))

    before = part.seconds(set_up)
    trainer = trainers[0]
    iterations, seconds = trained(part, trainer, sampler.batches)
    whole = before + schedule.iterations * seconds / iterations
    folder = context.artifact("heads")
    write_heads(
        folder,
        student=trainer.plain_student.state_dict(),
        teacher=trainer.teacher.state_dict(),
        shape=asdict(shape),
        blocks=features.default_blocks,
        temperature=section.student_temperature,
        head_loss=trainer.head_loss.tolist(),
        history=trainer.history,
        made_by={"stage": "benchmark"},
    )
    stage_row(
        part,
        "train_heads",
        measured=before + seconds,
        share=iterations / schedule.iterations,
        whole=whole,
        grows_with="images · epochs · heads",
        written=folder,
        set_up_seconds=before,
        iterations=schedule.iterations,
        iteration_seconds=seconds / iterations,
        samples_a_second=batch * iterations / seconds,
    )


def trained(part: Part, trainer: HeadTrainer, steps: int) -> tuple[int, float]:
    """Iterations that were measured, and their seconds; the first epoch warms up and does not count."""
    allowed = 0.0 if part.tiny else min(_SECONDS, 0.5 * part.left())
    times: list[float] = []

    def after(_: HeadTrainer) -> None:
        times.append(time.perf_counter())
        if len(times) > 1 and times[-1] - times[0] >= allowed:
            raise _EnoughError

    try:
        trainer.run(after)
    except _EnoughError:
        part.synchronise()
    return steps * (len(times) - 1), time.perf_counter() - times[0]
