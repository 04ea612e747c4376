"""How long neighbour lists are and, where true labels are known, how often they are right (thesis 6.4.1.5)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline_lib.artifacts.neighbors import Neighbors

_QUANTILES = {"min": 0, "p05": 5, "p25": 25, "median": 50, "p75": 75, "p95": 95, "max": 100}
_BINS = 10


def list_statistics(neighbors: Neighbors) -> dict[str, Any]:
    """Lengths of the lists.

    Args:
        neighbors: The lists.

    Returns:
        ``images``, ``pairs``; ``neighbors_mean`` and ``neighbors_<quantile>`` (min, p05, p25, median, p75, p95, max);
        ``share_at_k_min`` of the images whose list has ``k_min`` entries (fewer where there are no more images), and
        ``share_at_k_max`` of those whose list was cut, or would be by one more neighbour.
    """
    lengths = neighbors.lengths()
    k_min, k_max = min(neighbors.settings["k_min"], neighbors.count - 1), neighbors.settings["k_max"]
    values = np.percentile(lengths, list(_QUANTILES.values()), method="nearest")
    return {
        "images": neighbors.count,
        "pairs": int(lengths.sum()),
        "neighbors_mean": float(lengths.mean()),
        **{f"neighbors_{name}": int(value) for name, value in zip(_QUANTILES, values, strict=True)},
        "share_at_k_min": float((lengths == k_min).mean()),
        "share_at_k_max": float((lengths == k_max).mean()) if k_max > k_min else 0.0,
    }


def mutual_share(neighbors: Neighbors, pairs: int = 20_000) -> float:
    """Share of pairs i → j for which i is in j's list too.

    Args:
        neighbors: The lists.
        pairs: Evenly spaced pairs that are looked at; all where there are no more.

    Returns:
        The share, 0 to 1.
    """
    total = int(neighbors.indptr[-1])
    entries = np.linspace(0, total - 1, min(pairs, total)).astype(np.int64)
    images = np.searchsorted(neighbors.indptr, entries, side="right") - 1
    others = np.asarray(neighbors.indices[entries])
    found = [bool((neighbors.of(int(other))[0] == image).any()) for image, other in zip(images, others, strict=True)]
    return sum(found) / len(found)


def oracle_neighbor_accuracy(neighbors: Neighbors, labels: NDArray[Any]) -> dict[str, float | None]:
    """Share of neighbours that have their image's true label (thesis Table 6.16, "NN ACC").

    Args:
        neighbors: The lists.
        labels: True label of each image, (n,) int; below 0 where unknown, and then the image's pairs do not count.

    Returns:
        ``oracle_neighbor_accuracy`` over all pairs, ``oracle_neighbor_accuracy_per_image`` as the mean of the images'
        own shares, ``oracle_k_min_accuracy`` over the pairs of the first ``k_min`` of each list; None where no pair
        has labels.
    """
    k_min = neighbors.settings["k_min"]
    right = pairs = nearest_right = nearest_pairs = 0
    shares, images = 0.0, 0
    for block in neighbors.blocks():
        owner = np.repeat(np.arange(len(block.lengths)), block.lengths)
        rank = np.arange(len(owner)) - np.repeat(np.cumsum(block.lengths) - block.lengths, block.lengths)
        known, same = _compare(labels, owner + block.first, block.indices)
        right, pairs = right + int(same.sum()), pairs + int(known.sum())
        nearest_right += int(same[rank < k_min].sum())
        nearest_pairs += int(known[rank < k_min].sum())
        known_of = np.bincount(owner[known], minlength=len(block.lengths))
        same_of = np.bincount(owner[same], minlength=len(block.lengths))
        shares += float((same_of[known_of > 0] / known_of[known_of > 0]).sum())
        images += int((known_of > 0).sum())
    return {
        "oracle_neighbor_accuracy": right / pairs if pairs else None,
        "oracle_neighbor_accuracy_per_image": shares / images if images else None,
        "oracle_k_min_accuracy": nearest_right / nearest_pairs if nearest_pairs else None,
    }


def oracle_accuracy_by_similarity(neighbors: Neighbors, labels: NDArray[Any]) -> dict[str, list[Any]]:
    """Share of neighbours that have their image's true label, by similarity (thesis Figure 6.3).

    Args:
        neighbors: The lists.
        labels: True label of each image, (n,) int; below 0 where unknown, and then the image's pairs do not count.

    Returns:
        Lists over ten bins of similarity: ``from`` (0.0, 0.1, ... 0.9; the last bin ends with 1), ``pairs`` with both
        labels known, ``oracle_accuracy`` in the bin, and ``oracle_accuracy_above`` over all pairs from there up; None
        where there is no pair. Pairs with a similarity below 0 do not count.
    """
    pairs, right = np.zeros(_BINS, dtype=np.int64), np.zeros(_BINS, dtype=np.int64)
    # A similarity is stored as the nearest float16, so the edges are rounded likewise.
    edges = (np.arange(_BINS) / _BINS).astype(np.float16)
    for block in neighbors.blocks():
        owner = np.repeat(np.arange(len(block.lengths)), block.lengths) + block.first
        known, same = _compare(labels, owner, block.indices)
        bins = np.searchsorted(edges, block.similarity, side="right") - 1
        pairs += np.bincount(bins[known & (bins >= 0)], minlength=_BINS)
        right += np.bincount(bins[same & (bins >= 0)], minlength=_BINS)
    above = np.cumsum(right[::-1])[::-1], np.cumsum(pairs[::-1])[::-1]
    return {
        "from": [bin_ / _BINS for bin_ in range(_BINS)],
        "pairs": pairs.tolist(),
        "oracle_accuracy": _shares(right, pairs),
        "oracle_accuracy_above": _shares(*above),
    }


def _compare(
    labels: NDArray[Any], images: NDArray[np.int64], neighbors: NDArray[Any]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Whether both labels of each pair are known, and whether they are known and the same."""
    known = (labels[images] >= 0) & (labels[neighbors] >= 0)
    return known, known & (labels[images] == labels[neighbors])


def _shares(parts: NDArray[np.int64], totals: NDArray[np.int64]) -> list[float | None]:
    return [int(part) / int(total) if total else None for part, total in zip(parts, totals, strict=True)]
