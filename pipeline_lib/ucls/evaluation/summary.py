"""The final measures of a UCLS run as one flat table (thesis 6.3, Tables 6.11-6.15)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline_lib.base.contingency import average_nmi
from pipeline_lib.ucls.evaluation.metrics import clustering_metrics
from pipeline_lib.ucls.evaluation.unlabelled import mean_agreement, mean_pairwise_nmi
from pipeline_lib.ucls.evaluation.usage import cluster_usage

_MEASURES = ("acc", "nmi", "ari")
_DIGITS = 4
ORACLE = "oracle_self_trained"


@dataclass(frozen=True)
class Clusterings:
    """All clusterings of the evaluation split.

    Attributes:
        heads: Assignments of every head, (H, n).
        best_head: Head with the lowest training loss.
        ensemble: Consensus of the heads on this split (thesis: †), (n,).
        self_trained: Predictions of the self-trained classifier (thesis: ‡), (n,).
        self_trained_grid: Predictions of each classifier that it was chosen from, (S, n); none of them diverged.
        classes: Number of clusters asked for.
    """

    heads: NDArray[np.int32]
    best_head: int
    ensemble: NDArray[np.int32]
    self_trained: NDArray[np.int32]
    self_trained_grid: NDArray[np.int32]
    classes: int

    def single(self) -> dict[str, NDArray[np.int32]]:
        """The clusterings that are one labelling, by the names of the report."""
        return {
            "best_head": self.heads[self.best_head],
            "ensemble": self.ensemble,
            "self_trained": self.self_trained,
        }


def rounded(values: Mapping[str, Any]) -> dict[str, Any]:
    """Floats to four digits: enough for a comparison, and the same on machines that round the last bits otherwise."""
    return {key: round(value, _DIGITS) if isinstance(value, float) else value for key, value in values.items()}


def label_free_measures(clusterings: Clusterings, silhouettes: Mapping[str, float | None]) -> dict[str, Any]:
    """What can be said without labels: agreement, cluster use, compactness.

    Args:
        clusterings: The clusterings.
        silhouettes: Silhouette of some of them, by name; ``None`` where it is not defined.

    Returns:
        Flat measures.
    """
    use = cluster_usage(clusterings.self_trained, clusterings.classes)
    measures: dict[str, Any] = {
        "heads_pairwise_nmi": mean_pairwise_nmi(clusterings.heads),
        "ensemble_anmi": average_nmi(clusterings.ensemble, clusterings.heads),
        "ensemble_agreement": mean_agreement(clusterings.ensemble, clusterings.heads),
        "self_trained_anmi": average_nmi(clusterings.self_trained, clusterings.heads),
        "self_trained_kl_to_uniform": use.kl_to_uniform,
        "self_trained_empty_clusters": use.empty_clusters,
    }
    measures |= {f"{name}_silhouette": value for name, value in silhouettes.items()}
    return rounded({key: value for key, value in measures.items() if value is not None})


def clustering_measures(named: Mapping[str, NDArray[np.int32]], labels: NDArray[np.int32]) -> dict[str, Any]:
    """ACC, NMI and ARI of clusterings against the true classes.

    Args:
        named: Clusterings by name, (n,) each.
        labels: True classes, (n,), -1 where unknown.

    Returns:
        ``<name>_acc``, ``<name>_nmi`` and ``<name>_ari`` of each, not rounded.
    """
    measures: dict[str, Any] = {}
    for name, predicted in named.items():
        metrics = clustering_metrics(labels, predicted).as_dict()
        measures |= {f"{name}_{measure}": metrics[measure] for measure in _MEASURES}
    return measures


def labelled_measures(clusterings: Clusterings, labels: NDArray[np.int32]) -> dict[str, Any]:
    """ACC, NMI and ARI of every clustering against the true classes; the only use of labels in UCLS.

    ``balanced_acc``, the mean recall of the classes under the matching of ACC, stands beside them: on unbalanced
    classes ACC alone hides the small ones.

    Args:
        clusterings: The clusterings.
        labels: True classes, (n,), -1 where unknown.

    Returns:
        Flat measures; ``heads_mean_…`` and ``heads_sd_…`` are over the heads, ``oracle_self_trained_…`` as
        :func:`oracle_self_trained_measures` gives them.
    """
    measures = clustering_measures(clusterings.single(), labels)
    for name, predicted in clusterings.single().items():
        measures[f"{name}_balanced_acc"] = clustering_metrics(labels, predicted).balanced_acc
    every = [clustering_metrics(labels, head).as_dict() for head in clusterings.heads]
    for measure in _MEASURES:
        values = [metrics[measure] for metrics in every]
        measures[f"heads_mean_{measure}"] = float(np.mean(values))
        measures[f"heads_sd_{measure}"] = float(np.std(values))
    return rounded(measures | oracle_self_trained_measures(clusterings.self_trained_grid, labels))


def oracle_self_trained_measures(grid: NDArray[np.int32], labels: NDArray[np.int32]) -> dict[str, Any]:
    """Measures of the self-trained classifier that true labels prefer, which the thesis reports as ‡ (6.2).

    The stage self_train chooses by pseudo-labels instead, and what is chosen here is stored nowhere.

    Args:
        grid: Predictions of all classifiers of the grid, (S, n).
        labels: True classes, (n,), -1 where unknown.

    Returns:
        ``oracle_self_trained_acc``, ``…_nmi`` and ``…_ari`` of the one with the highest ACC; of equal ones the highest
        NMI counts.
    """
    every = [clustering_metrics(labels, predicted) for predicted in grid]
    best = max(every, key=lambda metrics: (metrics.acc, metrics.nmi)).as_dict()
    return {f"{ORACLE}_{measure}": best[measure] for measure in _MEASURES}


def readable_table(measures: Mapping[str, Any]) -> str:
    """The labelled measures as aligned lines, † and ‡ as in the thesis; the label-free ones where there are no labels.

    Args:
        measures: What :func:`labelled_measures` and :func:`label_free_measures` gave, together.

    Returns:
        Lines of text.
    """
    if "self_trained_acc" not in measures:
        return "\n".join(f"  {name:<28}{value}" for name, value in measures.items())
    rows = [("best head", "best_head"), ("heads, mean", "heads_mean")]
    rows += [
        ("ensemble on val †", "ensemble"),
        ("self-trained ‡", "self_trained"),
        ("… best setting by labels", ORACLE),
    ]
    return "\n".join(table_lines(measures, rows))


def table_lines(measures: Mapping[str, Any], rows: Sequence[tuple[str, str]]) -> list[str]:
    """A line with ACC, NMI and ARI for each of ``rows`` (title, name of the measures), under a line of titles."""
    lines = ["".join(["  ", " " * 28, *(f"{measure.upper():>8}" for measure in _MEASURES)])]
    for title, name in rows:
        lines.append("".join([f"  {title:<28}", *(f"{measures[f'{name}_{measure}']:8.4f}" for measure in _MEASURES)]))
    return lines
