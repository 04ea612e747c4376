"""Average normalised mutual information with the heads, and the choice of the consensus by it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipeline_lib.consensus.hypergraph import Integers, check_assignments, contingency

Mean = Literal["geometric", "arithmetic"]
_TIE = 1e-12


def _entropy(counts: NDArray[np.float64]) -> float:
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log(share)).sum())


def normalized_mutual_information(table: NDArray[np.int64], mean: Mean = "geometric") -> float:
    """Normalised mutual information of two labellings from their contingency table.

    Args:
        table: Counts, (rows, columns).
        mean: What mutual information is divided by: √(H(a) H(b)) (Strehl & Ghosh 2002, eq. 2) or (H(a) + H(b)) / 2.

    Returns:
        Value in [0, 1]; where only one labelling has a single cluster 0, where both have 1.
    """
    counts = np.asarray(table, dtype=np.float64)
    a, b = counts.sum(axis=1), counts.sum(axis=0)
    first, second = _entropy(a), _entropy(b)
    if min(first, second) == 0:
        return 1.0 if first == second else 0.0
    row, column = np.nonzero(counts)
    share = counts[row, column] / counts.sum()
    information = float((share * np.log(counts[row, column] * counts.sum() / (a[row] * b[column]))).sum())
    norm = np.sqrt(first * second) if mean == "geometric" else (first + second) / 2
    return float(np.clip(information / norm, 0.0, 1.0))


def average_nmi(labels: Integers, assignments: Integers, mean: Mean = "geometric") -> float:
    """Average NMI of a labelling with all heads: φ^(ANMI) of Strehl & Ghosh 2002, eq. 4, where ``mean`` is geometric.

    Args:
        labels: The labelling, non-negative, (n,).
        assignments: Cluster ids of all heads, (H, n).
        mean: See :func:`normalized_mutual_information`.

    Returns:
        Mean over the heads, in [0, 1].
    """
    check_assignments(assignments)
    rows = int(labels.max()) + 1
    values = [
        normalized_mutual_information(contingency(labels, head, rows, int(head.max()) + 1), mean)
        for head in assignments
    ]
    return float(np.mean(values))


def choose_by_anmi(scores: Mapping[str, float]) -> str:
    """Name with the highest average NMI; of equal ones (up to rounding) the first.

    Args:
        scores: Average NMI by name, at least one.

    Returns:
        The name.
    """
    highest = max(scores.values())
    return next(name for name, score in scores.items() if score >= highest - _TIE)
