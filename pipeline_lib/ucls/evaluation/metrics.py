"""Clustering metrics: ACC, NMI, ARI (thesis 6.3) from a contingency table, in float64."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike

from pipeline_lib.base.contingency import normalised_mutual_information
from pipeline_lib.base.errors import UserError
from pipeline_lib.ucls.evaluation.matching import (
    ContingencyTable,
    balanced_accuracy,
    clustering_accuracy,
    contingency_table,
)

UNKNOWN = -1


@dataclass(frozen=True)
class ClusteringMetrics:
    """Agreement of a clustering with the true classes.

    Attributes:
        acc: Clustering accuracy, [0, 1].
        nmi: Normalised mutual information, arithmetic mean, [0, 1].
        ari: Adjusted Rand index, [-0.5, 1].
        balanced_acc: Mean recall of the classes under the matching of ``acc``, [0, 1].
        samples: Samples with a known class.
        classes: Classes that occur among them.
        clusters: Clusters that occur among them.
    """

    acc: float
    nmi: float
    ari: float
    balanced_acc: float
    samples: int
    classes: int
    clusters: int

    def as_dict(self) -> dict[str, float | int]:
        """The measures by name."""
        return asdict(self)


def adjusted_rand_index(table: ContingencyTable) -> float:
    """Rand index adjusted for chance (Hubert & Arabie 1985), in [-0.5, 1]; 1 where the groupings are the same."""
    # Ordered pairs as Python integers: the products below pass 64 bits from some 60,000 samples on.
    n = table.samples
    both = int((table.counts**2).sum()) - n
    same_class = int((table.counts.sum(axis=1) ** 2).sum()) - n
    same_cluster = int((table.counts.sum(axis=0) ** 2).sum()) - n
    only_class, only_cluster = same_class - both, same_cluster - both
    if only_class == 0 and only_cluster == 0:
        return 1.0
    neither = n * n - n - both - only_class - only_cluster
    scale = same_class * (only_class + neither) + same_cluster * (only_cluster + neither)
    return 2 * (both * neither - only_class * only_cluster) / scale


def clustering_metrics(true: ArrayLike, predicted: ArrayLike) -> ClusteringMetrics:
    """All measures of a clustering against the true classes.

    Args:
        true: Class of each sample, (n,) integers; samples with -1 (unknown) are left out.
        predicted: Cluster of each sample, (n,) integers.

    Returns:
        The measures.

    Raises:
        UserError: No sample has a known class, or the arrays differ in length or do not hold integers.
    """
    truth, clusters = np.asarray(true), np.asarray(predicted)
    if truth.shape == clusters.shape and truth.ndim == 1:
        known = truth != UNKNOWN
        if not known.any():
            raise UserError(f"true: none of {len(truth)} samples has a known class; at least 1 is needed")
        truth, clusters = truth[known], clusters[known]
    table = contingency_table(truth, clusters)
    return ClusteringMetrics(
        acc=clustering_accuracy(table),
        nmi=normalised_mutual_information(table.counts, "arithmetic"),
        ari=adjusted_rand_index(table),
        balanced_acc=balanced_accuracy(table),
        samples=table.samples,
        classes=len(table.classes),
        clusters=len(table.clusters),
    )
