"""Further measures of a run that are told as name and value: of the neighbour lists and of the consensus methods."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_NEIGHBORS = (
    ("neighbors_mean", "neighbours of an image, mean", "{:.1f}"),
    ("neighbors_median", "neighbours of an image, median", "{:,}"),
    ("share_at_k_min", "lists at the lower limit", "{:.1%}"),
    ("share_at_k_max", "lists at the upper limit", "{:.1%}"),
    ("mutual_share", "pairs that are mutual", "{:.1%}"),
    ("oracle_neighbor_accuracy", "pairs of the same class", "{:.1%}"),
    ("oracle_neighbor_accuracy_per_image", "pairs of the same class, mean over images", "{:.1%}"),
)


def neighbor_details(measures: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Name and value of the measures of the neighbour lists, as far as they exist.

    Args:
        measures: Metrics of the run by name.
    """
    return [(title, form.format(measures[name])) for name, title, form in _NEIGHBORS if measures.get(name) is not None]


def consensus_details(measures: Mapping[str, Any], split: str) -> list[tuple[str, str]]:
    """Each consensus method with its average NMI with the heads, or why it was left out; the chosen one says so.

    Args:
        measures: Metrics of the run by name: ``chosen``, ``<split>_chosen`` where it has another,
            ``<split>_<method>_anmi`` or ``<split>_<method>_skipped``.
        split: The split.
    """
    details, chosen = [], measures.get(f"{split}_chosen", measures.get("chosen"))
    for name, value in measures.items():
        method, _, measure = name.removeprefix(f"{split}_").rpartition("_")
        if not name.startswith(f"{split}_") or measure not in ("anmi", "skipped"):
            continue
        title = f"{method}, chosen" if method == chosen else method
        details.append((title, f"{value:.3f}" if measure == "anmi" else f"left out: {value}"))
    return details
