"""Final figures: Hungarian accuracy, NMI and ARI beside k-means and the upper bound, or label-free figures alone."""

from __future__ import annotations

from pipeline_lib import runtime
from pipeline_lib.artifacts.assignments import open_assignments
from pipeline_lib.artifacts.class_count import open_class_count
from pipeline_lib.artifacts.classifier import open_classifier
from pipeline_lib.artifacts.consensus import open_consensus
from pipeline_lib.artifacts.dataset import open_dataset
from pipeline_lib.artifacts.features import open_features
from pipeline_lib.evaluation.kmeans import fit_kmeans
from pipeline_lib.evaluation.summary import Clusterings, label_free_figures, labelled_figures, readable_table
from pipeline_lib.evaluation.unlabelled import sampled_silhouette
from pipeline_lib.neighbors.similarity import SearchSpace
from pipeline_lib.probe.upper_bound import upper_bound_linear_probe
from stages.command_line import StageContext, chosen_blocks, run_stage
from stages.linear_grid import grid_settings

SPLIT = "val"


def run(context: StageContext) -> None:
    """Evaluate on the val split; labels, where known, are used here and nowhere before."""
    section, knn = context.params.evaluate, context.params.knn
    classes = open_class_count(context.artifact("classes")).classes
    features = open_features(context.artifact("features"))
    assignments = open_assignments(context.artifact("assignments"))
    blocks = chosen_blocks(context, features.blocks, features.default_blocks)
    train = SearchSpace(features.split("train", blocks), centre=knn.centre, normalise_blocks=knn.normalise_blocks)
    held_out = SearchSpace(
        features.split(SPLIT, blocks), centre=knn.centre, normalise_blocks=knn.normalise_blocks, mean=train.mean
    )
    kmeans = fit_kmeans(train, classes, restarts=section.kmeans_restarts, seed=section.seed)
    clusterings = Clusterings(
        heads=assignments.labels(SPLIT),
        best_head=assignments.best_head,
        ensemble=open_consensus(context.artifact("consensus")).labels(SPLIT),
        self_trained=open_classifier(context.artifact("classifier")).predictions(SPLIT).clusters,
        kmeans=kmeans.predict(held_out),
        classes=classes,
    )
    silhouettes = {
        name: sampled_silhouette(held_out, labels, section.silhouette_sample, section.seed)
        for name, labels in clusterings.single().items()
        if name in ("kmeans", "self_trained")
    }
    figures = label_free_figures(clusterings, silhouettes)
    dataset = open_dataset(context.artifact("datasets"))
    labels, train_labels = dataset.oracle_labels(SPLIT), dataset.oracle_labels("train")
    if labels is not None:
        figures = labelled_figures(clusterings, labels) | figures
        if section.linear_probe and train_labels is not None:
            sides = [features.split(split, tuple(features.blocks)) for split in ("train", SPLIT)]
            self_train = context.params.self_train
            grid = grid_settings(self_train, sides[0].count)
            device = runtime.start(self_train.device, "float32", section.seed).device
            accuracy = upper_bound_linear_probe(
                sides[0], train_labels, sides[1], labels, sides[0].columns, grid, device
            )
            figures["upper_bound_linear_probe_acc"] = round(accuracy, 4)
    context.write_metrics(figures, "ucls")
    context.report(f"{len(clusterings.ensemble)} images of {SPLIT}\n{readable_table(figures)}\n")


if __name__ == "__main__":
    run_stage(run, "evaluate", "Evaluate a run.")
