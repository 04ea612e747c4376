"""Assign every image of every split by every head."""

from __future__ import annotations

from collections import deque
from itertools import chain

from pipeline_lib.artifacts.assignments import write_assignments
from pipeline_lib.artifacts.dataset import open_dataset
from pipeline_lib.artifacts.features import open_features
from pipeline_lib.artifacts.heads import open_heads
from pipeline_lib.base import runtime
from pipeline_lib.ucls.heads.inference import assign_in_blocks, restored_classifier
from stages._context import StageContext, run_stage


def run(context: StageContext) -> None:
    """Run the teacher, which is what is used for inference, in one process or in those that torchrun launched."""
    section = context.params.assign
    fabric = runtime.start(context.params.machine.device)
    dataset = open_dataset(context.artifact("datasets"))
    features = open_features(context.artifact("features"))
    heads = open_heads(context.artifact("heads"))
    classifier = restored_classifier(heads.shape, heads.teacher(), fabric.device)
    splits = {}
    for split in features.splits:
        rows = features.split(split, heads.blocks)
        blocks = assign_in_blocks(
            classifier,
            rows,
            dataset.ids(split),
            temperature=heads.temperature,
            probabilities=section.probabilities,
            best_head=heads.best_head,
            device=fabric.device,
        )
        splits[split] = (rows.count, blocks)
    if not fabric.is_global_zero:
        deque(chain.from_iterable(blocks for _, blocks in splits.values()), maxlen=0)
        return
    write_assignments(
        context.artifact("assignments"),
        splits=splits,
        heads=classifier.shape.heads,
        classes=classifier.shape.classes,
        best_head=heads.best_head,
        probabilities=section.probabilities,
        made_by=context.made_by(section.model_dump()),
    )
    context.report(f"{classifier.shape.heads} heads on " + ", ".join(f"{k} {v[0]}" for k, v in splits.items()))


if __name__ == "__main__":
    run_stage(run, "assign", "Assign every image by every head.")
