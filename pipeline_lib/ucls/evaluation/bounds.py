"""Figures of the rivals and bounds of a run as one flat table (thesis Table 6.5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline_lib.ucls.evaluation.summary import clustering_figures, rounded, table_lines
from pipeline_lib.ucls.evaluation.usage import cluster_usage

BEST_HEAD = "upper_bound_neighbors_best_head"
_RIVALS = (("k-means", "kmeans"), ("TURTLE", "turtle"), ("true neighbours, best head", BEST_HEAD))
_ACCURACIES = (
    ("true neighbours, all heads", "upper_bound_neighbors_mean_acc"),
    ("k-NN with true labels", "upper_bound_knn_acc"),
    ("linear probe on true labels", "upper_bound_linear_probe_acc"),
)


def label_free_bounds(
    clusterings: Mapping[str, NDArray[np.int32]], classes: int, silhouettes: Mapping[str, float | None]
) -> dict[str, Any]:
    """What can be said of the rivals without labels.

    Args:
        clusterings: Clusters of each rival, (m,), by name.
        classes: Number of clusters asked for.
        silhouettes: Silhouette of each; ``None`` where it is not defined.

    Returns:
        Flat figures: ``<name>_silhouette``, ``<name>_kl_to_uniform`` and ``<name>_empty_clusters``.
    """
    figures: dict[str, Any] = {}
    for name, labels in clusterings.items():
        use = cluster_usage(labels, classes)
        figures[f"{name}_silhouette"] = silhouettes[name]
        figures |= {f"{name}_kl_to_uniform": use.kl_to_uniform, f"{name}_empty_clusters": use.empty_clusters}
    return rounded({key: value for key, value in figures.items() if value is not None})


def upper_bound_neighbor_figures(heads: NDArray[np.int32], best_head: int, labels: NDArray[np.int32]) -> dict[str, Any]:
    """Figures of heads that were trained on true neighbours.

    Args:
        heads: Assignments of every head, (H, m).
        best_head: Head with the lowest training loss.
        labels: True classes, (m,), -1 where unknown.

    Returns:
        ACC, NMI and ARI of the best head, and the mean ACC of all.
    """
    figures = clustering_figures({BEST_HEAD: heads[best_head]}, labels)
    every = clustering_figures({str(number): head for number, head in enumerate(heads)}, labels)
    accuracies = [value for name, value in every.items() if name.endswith("_acc")]
    return rounded(figures | {"upper_bound_neighbors_mean_acc": float(np.mean(accuracies))})


def readable_bounds(figures: Mapping[str, Any]) -> str:
    """The labelled figures as aligned lines; the label-free ones where there are no labels.

    Args:
        figures: All figures of the stage; what was switched off is absent.

    Returns:
        Lines of text.
    """
    if "kmeans_acc" not in figures:
        return "\n".join(f"  {name:<28}{value}" for name, value in figures.items())
    lines = table_lines(figures, [row for row in _RIVALS if f"{row[1]}_acc" in figures])
    lines += [f"  {title:<30}{figures[name]:6.4f}" for title, name in _ACCURACIES if name in figures]
    return "\n".join(lines)
