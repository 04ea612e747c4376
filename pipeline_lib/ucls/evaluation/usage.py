"""How evenly the clusters are used; needs no labels (thesis Figure 6.2)."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike

from pipeline_lib.base.contingency import entropy
from pipeline_lib.base.errors import UserError


@dataclass(frozen=True)
class ClusterUsage:
    """Sizes of the clusters in short.

    Attributes:
        kl_to_uniform: KL divergence of the cluster shares from the uniform distribution, nats, [0, log k].
        normalised_entropy: Entropy of the shares divided by log k, [0, 1]; 1 where k is 1.
        empty_clusters: Clusters without a sample.
        largest_share: Share of the largest cluster.
        smallest_share: Share of the smallest cluster; 0 where one is empty.
    """

    kl_to_uniform: float
    normalised_entropy: float
    empty_clusters: int
    largest_share: float
    smallest_share: float

    def as_dict(self) -> dict[str, float | int]:
        """The measures by name."""
        return asdict(self)


def cluster_usage(labels: ArrayLike, clusters: int) -> ClusterUsage:
    """Summarise the sizes of ``clusters`` clusters.

    Args:
        labels: Cluster of each sample, (n,) integers in [0, clusters).
        clusters: Number of clusters k, used or not.

    Returns:
        The summary.

    Raises:
        UserError: There is no sample, or a label lies outside the range.
    """
    ids = np.asarray(labels)
    if ids.ndim != 1 or ids.size == 0 or not np.issubdtype(ids.dtype, np.integer):
        raise UserError(f"labels: expected at least one integer a sample, got {ids.dtype} of shape {ids.shape}")
    if clusters < 1 or ids.min() < 0 or ids.max() >= clusters:
        raise UserError(f"clusters = {clusters}: labels go from {ids.min()} to {ids.max()}, allowed: 0 to clusters - 1")
    sizes = np.bincount(ids, minlength=clusters)  # (k,)
    share = sizes / ids.size
    spread = entropy(sizes)
    largest = float(np.log(clusters))
    return ClusterUsage(
        kl_to_uniform=max(0.0, largest - spread),
        normalised_entropy=min(1.0, spread / largest) if clusters > 1 else 1.0,
        empty_clusters=int((share == 0).sum()),
        largest_share=float(share.max()),
        smallest_share=float(share.min()),
    )
