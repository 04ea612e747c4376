"""Measures of the rivals and bounds of a run as one flat table (thesis Table 6.5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline_lib.ucls.evaluation.summary import clustering_measures, rounded, table_lines
from pipeline_lib.ucls.evaluation.usage import cluster_usage

BEST_HEAD = "upper_bound_neighbors_best_head"
_ROWS = (
    ("k-means", "kmeans"),
    ("UMAP + k-means", "umap_kmeans"),
    ("TURTLE", "turtle"),
    ("true neighbours, best head", BEST_HEAD),
    ("k-NN with true labels", "upper_bound_knn"),
    ("linear probe on true labels", "upper_bound_linear_probe"),
)
_MEAN = "upper_bound_neighbors_mean_acc"


def label_free_bounds(
    clusterings: Mapping[str, NDArray[np.int32]], classes: int, silhouettes: Mapping[str, float | None]
) -> dict[str, Any]:
    """What can be said of the rivals without labels.

    Args:
        clusterings: Clusters of each rival, (m,), by name.
        classes: Number of clusters asked for.
        silhouettes: Silhouette of each; ``None`` where it is not defined.

    Returns:
        Flat measures: ``<name>_silhouette``, ``<name>_kl_to_uniform`` and ``<name>_empty_clusters``.
    """
    measures: dict[str, Any] = {}
    for name, labels in clusterings.items():
        use = cluster_usage(labels, classes)
        measures[f"{name}_silhouette"] = silhouettes[name]
        measures |= {f"{name}_kl_to_uniform": use.kl_to_uniform, f"{name}_empty_clusters": use.empty_clusters}
    return rounded({key: value for key, value in measures.items() if value is not None})


def upper_bound_neighbor_measures(
    heads: NDArray[np.int32], best_head: int, labels: NDArray[np.int32]
) -> dict[str, Any]:
    """Measures of heads that were trained on true neighbours.

    Args:
        heads: Assignments of every head, (H, m).
        best_head: Head with the lowest training loss.
        labels: True classes, (m,), -1 where unknown.

    Returns:
        ACC, NMI and ARI of the best head, and the mean ACC of all.
    """
    measures = clustering_measures({BEST_HEAD: heads[best_head]}, labels)
    every = clustering_measures({str(number): head for number, head in enumerate(heads)}, labels)
    accuracies = [value for name, value in every.items() if name.endswith("_acc")]
    return rounded(measures | {_MEAN: float(np.mean(accuracies))})


def upper_bound_class_measures(predicted: Mapping[str, NDArray[np.int32]], labels: NDArray[np.int32]) -> dict[str, Any]:
    """Measures of classifiers that were trained on true labels (thesis Table 6.5).

    ACC is the share of right classes, without matching: their outputs are the classes themselves.

    Args:
        predicted: Classes that each classifier finds, (m,), by name.
        labels: True classes, (m,), -1 where unknown.

    Returns:
        ``<name>_acc``, ``<name>_nmi`` and ``<name>_ari`` of each.

    Raises:
        UserError: No image has a known class.
    """
    measures = clustering_measures(predicted, labels)
    known = labels >= 0
    right = {f"{name}_acc": float((found == labels)[known].mean()) for name, found in predicted.items()}
    return rounded(measures | right)


def readable_bounds(measures: Mapping[str, Any]) -> str:
    """The labelled measures as aligned lines; the label-free ones where there are no labels.

    Args:
        measures: All measures of the stage; what was switched off is absent.

    Returns:
        Lines of text.
    """
    if "kmeans_acc" not in measures:
        return "\n".join(f"  {name:<28}{value}" for name, value in measures.items())
    lines = table_lines(measures, [row for row in _ROWS if f"{row[1]}_acc" in measures])
    if _MEAN in measures:
        lines.append(f"  {'true neighbours, all heads':<30}{measures[_MEAN]:6.4f}")
    return "\n".join(lines)
