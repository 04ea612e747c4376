"""Rivals without labels (k-means, UMAP + k-means, TURTLE) and bounds with them, all on the same features."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from lightning_fabric import Fabric
from numpy.typing import NDArray

from pipeline_lib.artifacts.bounds import write_bounds
from pipeline_lib.artifacts.class_count import open_class_count
from pipeline_lib.artifacts.dataset import open_dataset
from pipeline_lib.artifacts.features import Features, open_features
from pipeline_lib.base import runtime
from pipeline_lib.features.search_space import SearchSpace
from pipeline_lib.ucls.bounds.rivals import rival_clusters
from pipeline_lib.ucls.bounds.upper_bound_knn import upper_bound_knn
from pipeline_lib.ucls.evaluation import bounds as measured
from pipeline_lib.ucls.evaluation.summary import clustering_measures, rounded
from pipeline_lib.ucls.evaluation.unlabelled import sampled_silhouette
from pipeline_lib.ucls.heads.upper_bound import ChosenRows, upper_bound_heads
from pipeline_lib.ucls.neighbors.upper_bound import UpperBoundNeighbors
from pipeline_lib.ucls.probe.upper_bound import upper_bound_linear_probe
from stages._context import StageContext, chosen_blocks, run_stage
from stages._precision import with_precision

SPLIT = "val"
Labels = NDArray[np.int32]


def with_labels(
    context: StageContext,
    fabric: Fabric,
    features: Features,
    blocks: tuple[str, ...],
    train_labels: Labels,
    labels: Labels,
) -> dict[str, Any]:
    """Measures of the bounds that use true labels (thesis Table 6.5)."""
    section, heads, probe = context.params.bounds, context.params.train_heads, context.params.self_train
    train, held_out = features.split("train", blocks), features.split(SPLIT, blocks)
    measures: dict[str, Any] = {}
    if section.true_neighbor_heads:
        true = UpperBoundNeighbors(train_labels)
        heads, _ = with_precision(heads, context.params.machine.device)
        settings = heads.model_copy(update=section.true_neighbor_training())
        memory = context.params.machine.memory_bytes
        classes = open_class_count(context.artifact("classes")).classes
        chosen = ChosenRows(train, true.rows)
        found = upper_bound_heads(fabric, chosen, held_out, true.draw, classes, settings, context.seed, memory)
        measures |= measured.upper_bound_neighbor_measures(found.heads, found.best_head, labels)
    predicted = {"upper_bound_knn": upper_bound_knn(train, train_labels, held_out, section.knn_neighbors)}
    if section.linear_probe_iterations:
        every, other = (features.split(split, tuple(features.blocks)) for split in ("train", SPLIT))
        grid = probe.fitted(every.count).model_copy(update={"iterations": section.linear_probe_iterations})
        predicted["upper_bound_linear_probe"] = upper_bound_linear_probe(
            every, train_labels, other, every.columns, grid, context.seed, fabric.device
        )
    return measures | measured.upper_bound_class_measures(predicted, labels)


def run(context: StageContext) -> None:
    """Cluster the val split by the rivals; with labels known, add the upper bounds."""
    section, seen, seed = context.params.bounds, context.params.features, context.seed
    classes = open_class_count(context.artifact("classes")).classes
    fabric = runtime.start(context.params.machine.device, "float32", seed)
    features, dataset = open_features(context.artifact("features")), open_dataset(context.artifact("datasets"))
    blocks = chosen_blocks(context, features.blocks, features.default_blocks)
    train, held_out = features.split("train", blocks), features.split(SPLIT, blocks)
    search_space = partial(SearchSpace, centre=seen.centre, normalise_blocks=seen.normalise_blocks)
    space = search_space(train)
    other = search_space(held_out, mean=space.mean)
    rivals = rival_clusters(train, held_out, (space, other), classes, section, seed=seed, device=fabric.device)
    clusters = rivals.clusters
    write_bounds(
        context.artifact("bounds"),
        split=SPLIT,
        ids=dataset.ids(SPLIT),
        labels=clusters,
        classes=classes,
        turtle_scores=rivals.turtle_scores,
        made_by=context.made_by(section.model_dump() | {"blocks": list(blocks), "seed": seed}),
    )
    silhouettes = {name: sampled_silhouette(other, found, seed=seed) for name, found in clusters.items()}
    measures = measured.label_free_bounds(clusters, classes, silhouettes)
    labels, train_labels = dataset.oracle_labels(SPLIT), dataset.oracle_labels("train")
    if labels is not None:
        measures = rounded(clustering_measures(clusters, labels)) | measures
        if train_labels is not None:
            measures |= with_labels(context, fabric, features, blocks, train_labels, labels)
    context.write_metrics(measures)
    context.report(f"{held_out.count} images of {SPLIT}\n{measured.readable_bounds(measures)}\n")


if __name__ == "__main__":
    run_stage(run, "bounds", "Find the bounds of a run.")
