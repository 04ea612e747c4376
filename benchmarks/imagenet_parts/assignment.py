"""Part ``assign``: the stage as a whole where it fits the time, else some blocks of images."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.generated import MADE_BY
from benchmarks.imagenet_parts.stage_runs import context_of, fits, run_whole, stage_row
from benchmarks.measuring import Part
from benchmarks.planted import planted_ensemble
from pipeline_lib.artifacts.assignments import write_assignments
from pipeline_lib.artifacts.features import open_features
from pipeline_lib.artifacts.heads import open_heads
from pipeline_lib.base import runtime
from pipeline_lib.base.row_blocks import row_blocks
from pipeline_lib.ucls.heads.inference import assign_in_blocks, restored_classifier
from stages import assign

_ROWS = 16384
_SECONDS = 30.0


def run(part: Part) -> None:
    """Measure, then put planted assignments in the place of those of heads that have hardly been trained."""
    context = context_of(part, "assign")
    section = context.params.assign
    fabric = runtime.start(context.params.machine.device)
    features = open_features(context.artifact("features"))
    heads = open_heads(context.artifact("heads"))
    classifier = restored_classifier(heads.shape, heads.teacher(), fabric.device)
    train = features.split("train", heads.blocks)
    count = sum(features.splits.values())
    part.reset_peak()
    blocks = assign_in_blocks(
        classifier,
        train,
        np.arange(train.count),
        temperature=heads.temperature,
        probabilities=section.probabilities,
        best_head=heads.best_head,
        device=fabric.device,
        block_rows=_ROWS if part.device.type == "cuda" else 1024,
    )
    done, started = 0, time.perf_counter()
    for ids, _, _ in blocks:
        done += len(ids)
        if time.perf_counter() - started > min(_SECONDS, 0.2 * part.left()):
            break
    seconds = time.perf_counter() - started
    whole = seconds * count / done
    if fits(part, 2 * whole):
        seconds = run_whole(part, assign.run, context)
        stage_row(
            part, "assign", measured=seconds, grows_with="images · heads", written=context.artifact("assignments")
        )
    else:
        stage_row(part, "assign", measured=seconds, share=done / count, whole=whole, grows_with="images · heads")
    write_planted(part, context.artifact("assignments"), features.splits)


def write_planted(part: Part, folder: Path, splits: dict[str, int]) -> None:
    """Assignments of heads that err as trained ones do: work for the consensus that is like the real one."""
    heads, classes = part.options["heads"], part.options["classes"]

    def blocks(labels: NDArray[np.int16], first: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int32], None]]:
        for rows in row_blocks(labels.shape[1], _ROWS):
            yield np.arange(first + rows.start, first + rows.stop), labels[:, rows].astype(np.int32), None

    planted, first = {}, 0
    for number, (split, count) in enumerate(splits.items()):
        labels, _ = planted_ensemble(count, heads, classes, confused=0.35, seed=number)
        planted[split] = (count, blocks(labels, first))
        first += count
    write_assignments(
        folder, splits=planted, heads=heads, classes=classes, best_head=0, probabilities="none", made_by=MADE_BY
    )
