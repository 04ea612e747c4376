"""Part ``self_train``: the whole stage with few iterations; those that it lacks are extrapolated."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.imagenet_parts.stage_runs import context_of, run_whole, stage_row
from benchmarks.measuring import Part
from pipeline_lib.artifacts.consensus import open_consensus
from pipeline_lib.artifacts.features import open_features
from pipeline_lib.features.blocks import ArrayFeatures
from pipeline_lib.ucls.probe.features import dinov2_inputs
from pipeline_lib.ucls.probe.training import train_linear_grid
from stages import self_train

_ROWS = 20_000
_FEW = 2


def run(part: Part) -> None:
    """Time an iteration on some rows, then run the stage with as few iterations as it can have."""
    context = context_of(part, "self_train")
    section = context.params.self_train
    features = open_features(context.artifact("features"))
    train = features.split("train")
    rows = min(_ROWS, train.count)
    labels = open_consensus(context.artifact("consensus")).labels("train")[:rows]
    held = ArrayFeatures(train.rows(slice(0, rows)))
    part.reset_peak()

    def training(iterations: int) -> float:
        settings = section.model_copy(update={"iterations": iterations}).fitted(rows)
        classes, inputs = part.options["classes"], dinov2_inputs(train.columns)
        return part.seconds(lambda: train_linear_grid(held, inputs, labels, classes, settings, device=part.device))

    one = seconds_an_iteration(training, 0.1 if part.tiny else 2.0)
    short = context_of(part, "self_train", self_train__iterations=_FEW)
    measured = run_whole(part, self_train.run, short)
    stage_row(
        part,
        "self_train",
        measured=measured,
        share=_FEW / section.iterations,
        whole=measured + one * (section.iterations - _FEW),
        grows_with="iterations; the rest with images",
        written=context.artifact("classifier"),
        iteration_seconds=one,
        iterations=section.iterations,
    )


def seconds_an_iteration(training: Callable[[int], float], enough: float) -> float:
    """Seconds that an iteration adds, from a training that is longer than a short one by ``enough`` seconds.

    Args:
        training: Seconds of a training of so many iterations.
        enough: Seconds, well above what equal trainings differ by.
    """
    training(_FEW)
    short, more = training(_FEW), 8 * _FEW
    while True:
        added = training(more) - short
        if added >= enough:
            return added / (more - _FEW)
        more *= 4
