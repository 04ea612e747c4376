"""The choice of the consensus by average normalised mutual information with the heads."""

from __future__ import annotations

from collections.abc import Mapping

_TIE = 1e-12


def choose_by_anmi(scores: Mapping[str, float]) -> str:
    """Name with the highest average NMI; of equal ones (up to rounding) the first.

    Args:
        scores: Average NMI by name, at least one.

    Returns:
        The name.
    """
    highest = max(scores.values())
    return next(name for name, score in scores.items() if score >= highest - _TIE)
