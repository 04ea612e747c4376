"""Cluster-based similarity partitioning (Strehl & Ghosh 2002, section 3.2): images are clustered by co-association."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage

from pipeline_lib.base.contingency import Integers, average_nmi
from pipeline_lib.ucls.consensus.choice import choose_by_anmi
from pipeline_lib.ucls.consensus.hypergraph import Hyperedges
from pipeline_lib.ucls.consensus.mcla import Labelling
from pipeline_lib.ucls.consensus.metis import partition_graph, symmetric_graph
from pipeline_lib.ucls.consensus.settings import ConsensusSettings, MethodSkippedError
from pipeline_lib.ucls.consensus.similarity import exact_neighbor_graph, sampled_neighbor_graph


def mean_coassociation(
    assignments: Integers, edges: Hyperedges, groups: NDArray[np.int32], count: int
) -> NDArray[np.float64]:
    """Mean share of heads that put a member of one group and a member of another together: their average link.

    Exact, without looking at pairs: in each head it is the scalar product of the two groups' cluster shares.

    Args:
        assignments: Cluster ids of all heads, (H, n).
        edges: Their hyperedges.
        groups: Group of each image, (n,); each has at least one.
        count: Number of groups G.

    Returns:
        Values in [0, 1], float64 (G, G), symmetric.
    """
    shares = []
    size = np.bincount(groups, minlength=count)[:, None]
    for head, labels in enumerate(assignments):
        rows = edges.row_of[head][labels] - edges.offsets[head]
        width = int(edges.offsets[head + 1] - edges.offsets[head])
        ones = np.ones(len(groups), dtype=np.int32)
        counts = sp.csr_matrix((ones, (groups, rows)), shape=(count, width))  # (G, M_h)
        shares.append(counts.multiply(1 / size).tocsr())
    stacked = sp.hstack(shares, format="csr")  # (G, M)
    return np.asarray((stacked @ stacked.T).toarray() / len(assignments))


def merge_groups(
    assignments: Integers, edges: Hyperedges, groups: NDArray[np.int32], classes: int
) -> NDArray[np.int32]:
    """Merge groups of images by average link on co-association until ``classes`` are left.

    Args:
        assignments: Cluster ids of all heads, (H, n).
        edges: Their hyperedges.
        groups: Group of each image, (n,); groups are about equally large.
        classes: Number of clusters wanted.

    Returns:
        Cluster of each image, int32 (n,).
    """
    used, dense = np.unique(groups, return_inverse=True)
    if len(used) <= classes:
        return dense.astype(np.int32)
    similarity = mean_coassociation(assignments, edges, dense.astype(np.int32), len(used))
    upper = np.triu_indices(len(used), 1)
    # Rounded, so that groups with equal clusters in all heads are at exactly 0 and are never kept apart.
    tree = linkage(np.clip(np.round(1 - similarity[upper], 12), 0, None), method="average")
    return np.asarray(fcluster(tree, classes, criterion="maxclust")[dense] - 1, dtype=np.int32)


def _neighbor_graph(assignments: Integers, edges: Hyperedges, settings: ConsensusSettings, seed: int) -> Any:
    heads, images = assignments.shape
    if images <= settings.cspa_exact_limit:
        return exact_neighbor_graph(assignments, settings.cspa_neighbors, seed)
    draws = -(-settings.cspa_candidates // heads)
    return sampled_neighbor_graph(assignments, edges, settings.cspa_neighbors, draws, seed)


def cspa(assignments: Integers, edges: Hyperedges, classes: int, settings: ConsensusSettings, seed: int) -> Labelling:
    """Cluster-based similarity partitioning with METIS on the graph of the most similar images.

    METIS cuts into parts of equal size, which suits classes of equal size only. So it also cuts into more, smaller
    parts, which average link on the exact co-association merges ("any reasonable similarity-based clustering" is CSPA
    in the paper); the average NMI with the heads, which needs no labels, tells which of the two fits.

    Args:
        assignments: Cluster ids of all heads, (H, n).
        edges: Their hyperedges.
        classes: Number of classes k.
        settings: ``cspa_…`` and ``imbalance`` are used.
        seed: Seed of draws, ties and METIS.

    Returns:
        Labels; the note says how pairs were compared and which factor was taken.

    Raises:
        MethodSkippedError: There are more images than ``cspa_image_limit``.
    """
    images, limit = assignments.shape[1], settings.cspa_image_limit
    if limit is not None and images > limit:
        raise MethodSkippedError(f"{images} images, above cspa_image_limit = {limit}")
    graph = symmetric_graph(_neighbor_graph(assignments, edges, settings, seed))
    labellings: dict[str, NDArray[np.int32]] = {}
    for factor in settings.cspa_over_partition:
        parts = max(classes, min(classes * factor, settings.cspa_group_limit))
        groups = partition_graph(graph, parts, seed=seed, imbalance=settings.imbalance, prepared=True)
        if parts > classes:
            groups = merge_groups(assignments, edges, groups, classes)
        labellings[f"{parts} parts" + (", merged" if parts > classes else "")] = groups
    scores = {name: average_nmi(labels, assignments) for name, labels in labellings.items()}
    chosen = choose_by_anmi(scores)
    compared = "all pairs" if images <= settings.cspa_exact_limit else "sampled pairs"
    return Labelling(labellings[chosen], None, f"{compared}; {chosen}")
