"""Final measures of a run: Hungarian accuracy, NMI and ARI, or label-free measures alone."""

from __future__ import annotations

from pipeline_lib.artifacts.assignments import open_assignments
from pipeline_lib.artifacts.class_count import open_class_count
from pipeline_lib.artifacts.classifier import open_classifier
from pipeline_lib.artifacts.consensus import open_consensus
from pipeline_lib.artifacts.dataset import open_dataset
from pipeline_lib.artifacts.features import open_features
from pipeline_lib.features.search_space import SearchSpace
from pipeline_lib.ucls.evaluation.summary import Clusterings, label_free_measures, labelled_measures, readable_table
from pipeline_lib.ucls.evaluation.unlabelled import sampled_silhouette
from stages._context import StageContext, chosen_blocks, run_stage

SPLIT = "val"


def run(context: StageContext) -> None:
    """Evaluate on the val split; labels, where known, are used here and in the bounds only."""
    seen = context.params.features
    classes = open_class_count(context.artifact("classes")).classes
    features = open_features(context.artifact("features"))
    assignments = open_assignments(context.artifact("assignments"))
    blocks = chosen_blocks(context, features.blocks, features.default_blocks)
    train = SearchSpace(features.split("train", blocks), centre=seen.centre, normalise_blocks=seen.normalise_blocks)
    held_out = SearchSpace(
        features.split(SPLIT, blocks), centre=seen.centre, normalise_blocks=seen.normalise_blocks, mean=train.mean
    )
    classifier = open_classifier(context.artifact("classifier"))
    clusterings = Clusterings(
        heads=assignments.labels(SPLIT),
        best_head=assignments.best_head,
        ensemble=open_consensus(context.artifact("consensus")).labels(SPLIT),
        self_trained=classifier.predictions(SPLIT).clusters,
        self_trained_grid=classifier.grid_predictions(SPLIT)[[not row["diverged"] for row in classifier.grid]],
        classes=classes,
    )
    silhouette = sampled_silhouette(held_out, clusterings.self_trained, seed=context.seed)
    measures = label_free_measures(clusterings, {"self_trained": silhouette})
    labels = open_dataset(context.artifact("datasets")).oracle_labels(SPLIT)
    if labels is not None:
        measures = labelled_measures(clusterings, labels) | measures
    context.write_metrics(measures, "ucls")
    context.report(f"{len(clusterings.ensemble)} images of {SPLIT}\n{readable_table(measures)}\n")


if __name__ == "__main__":
    run_stage(run, "evaluate", "Evaluate a run.")
