"""Measures that need no labels: how far the heads agree, and how compact the clusters are."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import silhouette_score

from pipeline_lib.base.contingency import check_assignments, normalised_mutual_information
from pipeline_lib.base.errors import UserError
from pipeline_lib.features.blocks import FeatureBlocks
from pipeline_lib.ucls.evaluation.matching import clustering_accuracy, contingency_table

SILHOUETTE_SAMPLE = 2000


def mean_pairwise_nmi(heads: NDArray[np.integer[Any]]) -> float | None:
    """Mean NMI (arithmetic) over all pairs of heads.

    Args:
        heads: Assignments of H heads, (H, n).

    Returns:
        A value in [0, 1], or None with a single head, which has no pair.

    Raises:
        UserError: ``heads`` has another shape.
    """
    check_assignments(heads)
    tables = (contingency_table(a, b) for a, b in combinations(heads, 2))
    values = [normalised_mutual_information(table.counts, "arithmetic") for table in tables]
    return float(np.mean(values)) if values else None


def mean_agreement(labels: NDArray[np.integer[Any]], heads: NDArray[np.integer[Any]]) -> float:
    """Mean over the heads of the share of images on which head and labelling agree after Hungarian matching.

    Args:
        labels: A labelling, (n,).
        heads: Assignments of H heads, (H, n).

    Returns:
        A value in [0, 1].

    Raises:
        UserError: The shapes do not fit.
    """
    check_assignments(heads)
    return float(np.mean([clustering_accuracy(contingency_table(labels, head)) for head in heads]))


def sampled_silhouette(
    features: FeatureBlocks, labels: NDArray[np.integer[Any]], *, seed: int, sample: int = SILHOUETTE_SAMPLE
) -> float | None:
    """Mean silhouette (Rousseeuw 1987) with cosine distance, on a seeded sample of the images.

    Args:
        features: Features of n images; only the sample's rows are read.
        labels: Cluster of each image, (n,).
        seed: Seed of the sample.
        sample: Images to take at most; all where there are fewer.

    Returns:
        A value in [-1, 1], or None where it is not defined: the sample lies in one cluster, or every image in its own.

    Raises:
        UserError: The labels do not fit the features, or ``sample`` is below 2.
    """
    if labels.shape != (features.count,):
        raise UserError(f"labels: expected one for each of {features.count} images, got shape {labels.shape}")
    if sample < 2:
        raise UserError(f"sample = {sample}: the silhouette needs at least 2 images")
    chosen = np.arange(features.count, dtype=np.int64)
    if features.count > sample:
        chosen = np.sort(np.random.default_rng(seed).choice(features.count, size=sample, replace=False))
    clusters = labels[chosen]
    if not 2 <= len(np.unique(clusters)) < len(clusters):
        return None
    return float(silhouette_score(features.rows(chosen), clusters, metric="cosine"))
