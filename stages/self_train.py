"""Train one linear classifier on the consensus labels of the training images (thesis 5.2, 6.2)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pipeline_lib.artifacts.class_count import open_class_count
from pipeline_lib.artifacts.classifier import PredictionRows, write_classifier
from pipeline_lib.artifacts.consensus import open_consensus
from pipeline_lib.artifacts.dataset import open_dataset
from pipeline_lib.artifacts.features import open_features
from pipeline_lib.base import runtime
from pipeline_lib.ucls.probe.classifier import predict_in_blocks
from pipeline_lib.ucls.probe.features import dinov2_inputs
from pipeline_lib.ucls.probe.training import train_linear_grid
from stages._context import StageContext, run_stage

EVALUATED = "val"


def run(context: StageContext) -> None:
    """Train the grid, choose by held-out consensus labels, predict all splits; val by all classifiers of the grid."""
    section = context.params.self_train
    fabric = runtime.start(context.params.machine.device, "float32", context.seed)
    dataset = open_dataset(context.artifact("datasets"))
    features = open_features(context.artifact("features"))
    consensus = open_consensus(context.artifact("consensus"))
    everything = tuple(features.blocks)
    train = features.split("train", everything)
    grid = train_linear_grid(
        train,
        dinov2_inputs(train.columns),
        consensus.labels("train"),
        open_class_count(context.artifact("classes")).classes,
        section.fitted(train.count),
        seed=context.seed,
        sample_weights={"none": None, "agreement": consensus.agreement("train")}[section.weighting],
        device=fabric.device,
    )
    classifier = grid.classifier()
    chosen = grid.settings[grid.chosen]

    def predicted(split: str) -> Iterator[PredictionRows]:
        ids = dataset.ids(split)
        for block in predict_in_blocks(classifier, features.split(split, everything), chosen.input):
            yield ids[block.rows], block.labels, block.confidence, block.entropy

    write_classifier(
        context.artifact("classifier"),
        state=classifier.state_dict(),
        backbone=features.backbone,
        blocks=[(name, features.dimension([name])) for name in chosen.input.blocks],
        cluster_names=None,
        scaling=section.scaling,
        grid=grid.table(),
        chosen=chosen.name,
        predictions={split: predicted(split) for split in features.splits},
        made_by=context.made_by(section.model_dump() | {"seed": context.seed}),
        grid_predictions={EVALUATED: grid.predictions(features.split(EVALUATED, everything))},
    )
    held_out = [value for value in grid.held_out_accuracy if value is not None]
    context.write_metrics(
        {
            "chosen": chosen.name,
            "held_out_pseudo_label_accuracy": float(np.max(held_out)),
            "classifiers": len(grid.settings),
            "diverged": sum(grid.diverged),
        }
    )
    context.report(f"{len(grid.settings)} classifiers, chosen: {chosen.name}")


if __name__ == "__main__":
    run_stage(run, "self_train", "Train a linear classifier on the consensus labels.")
