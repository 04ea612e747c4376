"""Contingency tables of two labellings, and what follows from one: entropy, NMI, ANMI, the Hungarian matching.

Method folders do not import each other; consensus (which asks for no labels) and evaluation share these equations here.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from pipeline_lib.base.errors import UserError
from pipeline_lib.base.row_blocks import row_blocks

_BLOCK_ROWS = 1 << 20

Integers = NDArray[Any]
"""Integer array of any width; may be memory-mapped."""

Mean = Literal["arithmetic", "geometric"]


def check_assignments(assignments: Integers) -> None:
    """Refuse what is not a table of cluster ids.

    Args:
        assignments: Cluster ids of all heads, (H, n).

    Raises:
        UserError: Wrong number of axes, no head, no image, or no integers.
    """
    if assignments.ndim != 2 or 0 in assignments.shape:
        raise UserError(f"assignments: expected (heads, images) with at least one of each, found {assignments.shape}")
    if not np.issubdtype(assignments.dtype, np.integer):
        raise UserError(f"assignments: expected integer cluster ids, found {assignments.dtype}")


def contingency(first: Integers, second: Integers, rows: int, columns: int) -> NDArray[np.int64]:
    """Count how often two labellings meet, in blocks of images.

    Args:
        first: Labels 0 to ``rows`` − 1, (n,).
        second: Labels 0 to ``columns`` − 1, (n,).
        rows: Number of labels of the first.
        columns: Number of labels of the second.

    Returns:
        Counts, int64 (rows, columns); they sum to n.
    """
    table = np.zeros(rows * columns, dtype=np.int64)
    for block in row_blocks(len(first), _BLOCK_ROWS):
        key = np.asarray(first[block], dtype=np.int64) * columns
        key += second[block]
        table += np.bincount(key, minlength=rows * columns)
    return table.reshape(rows, columns)


def entropy(sizes: NDArray[Any]) -> float:
    """Entropy in nats of the shares that groups of these sizes have; empty groups add nothing."""
    share = sizes[sizes > 0] / sizes.sum()
    return max(0.0, float(-(share * np.log(share)).sum()))


def mutual_information(table: NDArray[np.int64]) -> float:
    """Mutual information in nats of two labellings from their counts (rows, columns); never negative."""
    counts = table.astype(np.float64)
    samples, a, b = counts.sum(), counts.sum(axis=1), counts.sum(axis=0)
    row, column = np.nonzero(counts)
    common = counts[row, column]
    information = (common / samples * np.log(common * samples / (a[row] * b[column]))).sum()
    return max(0.0, float(information))


def normalised_mutual_information(table: NDArray[np.int64], mean: Mean) -> float:
    """Mutual information divided by a mean of both entropies.

    Args:
        table: Counts, (rows, columns).
        mean: ``arithmetic``, (H(a) + H(b)) / 2 (NMI of thesis 6.3), or ``geometric``, √(H(a) H(b)) (Strehl & Ghosh
            2002, Eq. 2).

    Returns:
        A value in [0, 1]; 1 where both labellings have a single group, 0 where only one of them has.
    """
    first, second = entropy(table.sum(axis=1)), entropy(table.sum(axis=0))
    if min(first, second) == 0:
        return 1.0 if first == second else 0.0
    scale = (first + second) / 2 if mean == "arithmetic" else float(np.sqrt(first * second))
    return min(1.0, mutual_information(table) / scale)


def average_nmi(labels: Integers, assignments: Integers, mean: Mean = "geometric") -> float:
    """ANMI: average NMI of a labelling with all heads (Strehl & Ghosh 2002, Eq. 4, where ``mean`` is geometric).

    Args:
        labels: The labelling, non-negative, (n,).
        assignments: Cluster ids of all heads, non-negative, (H, n).
        mean: See :func:`normalised_mutual_information`.

    Returns:
        Mean over the heads, in [0, 1].

    Raises:
        UserError: ``assignments`` is no table of cluster ids, the labelling is for another number of images, or an id
            is negative.
    """
    check_assignments(assignments)
    if labels.shape != assignments.shape[1:]:
        raise UserError(f"labels: expected one for each of {assignments.shape[1]} images, got shape {labels.shape}")
    if labels.min() < 0 or assignments.min() < 0:
        raise UserError("labels and assignments: negative cluster ids; allowed: 0 or more")
    rows = int(labels.max()) + 1
    tables = (contingency(labels, head, rows, int(head.max()) + 1) for head in assignments)
    return float(np.mean([normalised_mutual_information(table, mean) for table in tables]))


def matched_pairs(table: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """One-to-one matching of rows and columns with the most samples in common (Hungarian method; thesis 6.3).

    Args:
        table: Counts, (R, C).

    Returns:
        Row and column numbers of the matched pairs, at most min(R, C) of each; pairs without a common sample are left
        out, since they say nothing.
    """
    rows, columns = linear_sum_assignment(table, maximize=True)
    shared = table[rows, columns] > 0
    return rows[shared].astype(np.int64), columns[shared].astype(np.int64)
