"""Part ``consensus``: the stage as a whole where it fits the time, else its methods on a sixteenth of the images."""

from __future__ import annotations

import numpy as np

from benchmarks.generated import MADE_BY
from benchmarks.imagenet_parts.stage_runs import context_of, fits, run_whole, stage_row
from benchmarks.measuring import Part
from pipeline_lib.artifacts.assignments import open_assignments
from pipeline_lib.artifacts.consensus import ConsensusSplit, MethodScores, write_consensus
from pipeline_lib.ucls.consensus.ensemble import build_consensus
from stages import consensus

_SHARE = 16


def run(part: Part) -> None:
    """Estimate the stage from a sample; run it where that fits, and else let the first head be the consensus."""
    context = context_of(part, "consensus")
    section = context.params.consensus
    assignments = open_assignments(context.artifact("assignments"))
    labels = assignments.labels("train")
    sample = np.ascontiguousarray(labels[:, :: 1 if part.tiny else _SHARE])
    del labels
    part.reset_peak()
    measured = part.seconds(
        lambda: build_consensus(
            sample, assignments.classes, methods=section.methods, settings=section, seed=context.seed
        )
    )
    count = sum(assignments.splits.values())
    share = sample.shape[1] / count
    if fits(part, measured / share):
        seconds = run_whole(part, consensus.run, context)
        stage_row(
            part, "consensus", measured=seconds, grows_with="images · heads", written=context.artifact("consensus")
        )
        return
    stage_row(part, "consensus", measured=measured, share=share, whole=measured / share, grows_with="images · heads")
    splits = {}
    for split, number in assignments.splits.items():
        first = assignments.labels(split)[0]
        used = len(np.unique(first))
        ones = np.ones(number, dtype=np.float32)
        scores = {"vote": MethodScores(0.0, used, "the first head", None)}
        splits[split] = ConsensusSplit(assignments.ids(split), {"vote": first}, "vote", scores, ones, None)
    write_consensus(
        context.artifact("consensus"), splits=splits, classes=assignments.classes, settings={}, made_by=MADE_BY
    )
