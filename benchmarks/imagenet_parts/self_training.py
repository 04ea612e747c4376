"""Part ``self_train``: the whole stage with few iterations; those that it lacks are extrapolated."""

from __future__ import annotations

from benchmarks.imagenet_parts.stage_runs import context_of, run_whole, stage_row
from benchmarks.measuring import Part
from pipeline_lib.artifacts.consensus import open_consensus
from pipeline_lib.artifacts.features import open_features
from pipeline_lib.features.blocks import ArrayFeatures
from pipeline_lib.ucls.probe.features import dinov2_inputs
from pipeline_lib.ucls.probe.training import train_linear_grid
from stages import self_train

_ROWS = 20_000


def run(part: Part) -> None:
    """Time an iteration on some rows, then run the stage with as few iterations as it can have."""
    context = context_of(part, "self_train")
    section = context.params.self_train
    features = open_features(context.artifact("features"))
    train = features.split("train")
    rows = min(_ROWS, train.count)
    labels = open_consensus(context.artifact("consensus")).labels("train")[:rows]
    held = ArrayFeatures(train.rows(slice(0, rows)))
    few, more = (2, 22) if part.tiny or part.device.type == "cpu" else (50, 550)
    part.reset_peak()
    seconds = {}
    for iterations in (few, few, more):
        settings = section.model_copy(update={"iterations": iterations}).fitted(rows)
        seconds[iterations] = part.seconds(
            lambda settings=settings: train_linear_grid(  # type: ignore[misc]
                held,
                dinov2_inputs(train.columns),
                labels,
                part.options["classes"],
                settings,
                device=part.device,
            )
        )
    one = max(0.0, seconds[more] - seconds[few]) / (more - few)
    short = context_of(part, "self_train", self_train__iterations=few)
    measured = run_whole(part, self_train.run, short)
    stage_row(
        part,
        "self_train",
        measured=measured,
        share=few / section.iterations,
        whole=measured + one * (section.iterations - few),
        grows_with="iterations; the rest with images",
        written=context.artifact("classifier"),
        iteration_seconds=one,
        iterations=section.iterations,
    )
