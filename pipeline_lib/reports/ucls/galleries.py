"""Which images stand for a cluster: the surest, the least sure, and those on which the heads differ most."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MOST_CLUSTERS = 1000
"""Clusters shown at most: the largest."""

MOST_IMAGES = 3000
"""Images in all galleries together, about; with more clusters each has fewer."""

MOST_PER_GALLERY = 12

KINDS = ("most", "least", "disputed")


@dataclass(frozen=True)
class Gallery:
    """A cluster and the rows of the images that stand for it.

    Attributes:
        cluster: Its number.
        count: Images in it.
        probability: Mean probability of its images of being in it; None where it is empty.
        agreement: Mean share of heads that agree on an image of it; None where it is empty.
        most: Images with the highest probability, the highest first.
        least: Images with the lowest probability, the lowest first; none is in ``most``.
        disputed: Images on which the fewest heads agree, the fewest first; only such as not all heads agree on.
    """

    cluster: int
    count: int
    probability: float | None
    agreement: float | None
    most: tuple[int, ...]
    least: tuple[int, ...]
    disputed: tuple[int, ...]


def images_per_gallery(clusters: int) -> int:
    """How many images each gallery has at most, so that all together are about ``MOST_IMAGES``; at least one."""
    return max(1, min(MOST_PER_GALLERY, MOST_IMAGES // (len(KINDS) * min(clusters, MOST_CLUSTERS))))


def choose_galleries(
    clusters: NDArray[np.integer],
    probability: NDArray[np.floating],
    agreement: NDArray[np.floating],
    count: int,
    limit: int = MOST_CLUSTERS,
) -> list[Gallery]:
    """Choose images of each cluster; ties go by row.

    Args:
        clusters: Cluster of each image, (n,), 0 to ``count`` − 1.
        probability: Its probability, (n,), in [0, 1].
        agreement: Share of heads that agree on the image, (n,), in [0, 1].
        count: Number of clusters K, empty ones included.
        limit: Clusters at most; the largest are taken.

    Returns:
        Galleries in the order of the clusters' numbers.
    """
    per_gallery = images_per_gallery(min(count, limit))
    order = np.argsort(clusters, kind="stable")
    sizes = np.bincount(clusters, minlength=count)
    members = np.split(order, np.cumsum(sizes)[:-1])
    shown = np.sort(np.argsort(-sizes, kind="stable")[:limit])
    return [_gallery(int(cluster), members[cluster], probability, agreement, per_gallery) for cluster in shown]


def _gallery(
    cluster: int,
    members: NDArray[np.intp],
    probability: NDArray[np.floating],
    agreement: NDArray[np.floating],
    limit: int,
) -> Gallery:
    sure, agreed = probability[members].astype(np.float64), agreement[members].astype(np.float64)
    falling = members[np.argsort(-sure, kind="stable")]
    # A small cluster's images are shared out, so that none is in both galleries.
    half = len(members) // 2
    rising_agreement = np.argsort(agreed, kind="stable")
    disputed = members[rising_agreement[agreed[rising_agreement] < 1]]
    return Gallery(
        cluster,
        len(members),
        float(sure.mean()) if len(members) else None,
        float(agreed.mean()) if len(members) else None,
        tuple(falling[: min(limit, len(members) - half)].tolist()),
        tuple(falling[::-1][: min(limit, half)].tolist()),
        tuple(disputed[:limit].tolist()),
    )
