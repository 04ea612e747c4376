"""Counts of classes and clusters, and the accuracies that follow from matching the ones with the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipeline_lib.base.contingency import contingency, matched_pairs
from pipeline_lib.base.errors import UserError


@dataclass(frozen=True)
class ContingencyTable:
    """How many samples each pair of class and cluster shares.

    Attributes:
        classes: Class ids that occur, ascending, (C,) int64.
        clusters: Cluster ids that occur, ascending, (K,) int64.
        counts: Samples of each pair, (C, K) int64; no row and no column is all zero.
    """

    classes: NDArray[np.int64]
    clusters: NDArray[np.int64]
    counts: NDArray[np.int64]

    @property
    def samples(self) -> int:
        """Number of samples n."""
        return int(self.counts.sum())


def _integer_ids(name: str, ids: ArrayLike) -> NDArray[Any]:
    array = np.asarray(ids)
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
        raise UserError(f"{name}: expected one integer id a sample, got {array.dtype} of shape {array.shape}")
    if array.size == 0:
        raise UserError(f"{name}: no samples; at least 1 is needed")
    return array


def contingency_table(true: ArrayLike, predicted: ArrayLike) -> ContingencyTable:
    """Count the samples of every pair of ids; ids may be any integers, with gaps, and of different number.

    Args:
        true: Class id of each sample, (n,) integers.
        predicted: Cluster id of each sample, (n,) integers.

    Returns:
        The table over the ids that occur.

    Raises:
        UserError: The arrays are empty, differ in length or do not hold integers.
    """
    rows, columns = _integer_ids("true", true), _integer_ids("predicted", predicted)
    if len(rows) != len(columns):
        raise UserError(f"predicted: {len(columns)} ids for {len(rows)} samples; the lengths must be equal")
    classes, row = np.unique(rows, return_inverse=True)
    clusters, column = np.unique(columns, return_inverse=True)
    counts = contingency(row, column, len(classes), len(clusters))
    return ContingencyTable(classes.astype(np.int64), clusters.astype(np.int64), counts)


def clustering_accuracy(table: ContingencyTable) -> float:
    """Share of samples whose cluster is matched with their class (thesis 6.3), in [0, 1].

    All samples of unmatched clusters are errors, also where there are more clusters than classes.
    """
    rows, columns = matched_pairs(table.counts)
    return float(table.counts[rows, columns].sum() / table.samples)


def balanced_accuracy(table: ContingencyTable) -> float:
    """Mean over the occurring classes of the share of the class that lies in its matched cluster, in [0, 1].

    Uses the mapping of :func:`clustering_accuracy`, which maximises the plain accuracy; a class without cluster
    counts 0.
    """
    rows, columns = matched_pairs(table.counts)
    recall = table.counts[rows, columns] / table.counts.sum(axis=1)[rows]
    return float(recall.sum() / len(table.classes))
