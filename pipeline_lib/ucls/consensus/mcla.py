"""Meta-clustering algorithm (Strehl & Ghosh 2002, section 3.4): clusters of all heads are clustered, then vote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline_lib.base.contingency import Integers, average_nmi
from pipeline_lib.ucls.consensus.association import strongest_group
from pipeline_lib.ucls.consensus.choice import choose_by_anmi
from pipeline_lib.ucls.consensus.hypergraph import Hyperedges, jaccard_graph
from pipeline_lib.ucls.consensus.metis import partition_graph, symmetric_graph
from pipeline_lib.ucls.consensus.settings import ConsensusSettings

_WEIGHT_SCALE = 10_000


@dataclass(frozen=True)
class Labelling:
    """What a method gives.

    Attributes:
        labels: Consensus cluster of each image, int32 (n,), 0 to k − 1; some of the k may be empty.
        confidence: Winner's share of an image's association with all clusters, float32 (n,), or None.
        note: What a reader should know of how it came about, or None.
    """

    labels: NDArray[np.int32]
    confidence: NDArray[np.float32] | None = None
    note: str | None = None


def meta_graph(assignments: Integers, edges: Hyperedges, minimum: float) -> Any:
    """Graph of the hyperedges of different heads, weighted by Jaccard measure as integers (× 10⁴, at least 1).

    Args:
        assignments: Cluster ids of all heads, (H, n).
        edges: Their hyperedges.
        minimum: Jaccard measures below give no edge.

    Returns:
        CSR matrix (M, M), int64, as :func:`partition_graph` takes it prepared.
    """
    graph = jaccard_graph(assignments, edges, minimum)
    graph.data = np.maximum(np.rint(_WEIGHT_SCALE * graph.data), 1).astype(np.int64)
    return symmetric_graph(graph)


def collapse_and_assign(
    assignments: Integers, edges: Hyperedges, meta: NDArray[np.int32], classes: int, seed: Sequence[int]
) -> Labelling:
    """Give each image to the meta-cluster it belongs to most: largest mean membership, ties by seeded chance.

    Args:
        assignments: Cluster ids of all heads, (H, n).
        edges: Their hyperedges.
        meta: Meta-cluster of each hyperedge, (M,).
        classes: Number of meta-clusters.
        seed: Seed of the ties.

    Returns:
        Labels, and the winner's share as confidence.
    """
    members = np.bincount(meta, minlength=classes)
    group_of = [np.where(rows >= 0, meta[rows], 0).astype(np.int64) for rows in edges.row_of]
    labels, share = strongest_group(assignments, group_of, 1 / np.maximum(members, 1), seed)
    return Labelling(labels, share)


def _meta_cluster_numbers(edges: Hyperedges, classes: int) -> list[int]:
    """Numbers of meta-clusters to try: k, and the most clusters that a head has where that is less.

    Into more meta-clusters than the heads have clusters, equal clusters are torn apart and images fall to them by
    chance; yet heads that each merge other classes can together tell more classes apart than any of them.
    """
    most = int(np.diff(edges.offsets).max())
    if most >= classes:
        return [classes]
    return [most] if edges.count <= classes else [classes, most]


def mcla(assignments: Integers, edges: Hyperedges, classes: int, settings: ConsensusSettings, seed: int) -> Labelling:
    """Meta-clustering algorithm: O(n H²) for the Jaccard tables, O(n H log H) for the assignment.

    Where no head has as many clusters as there are classes, as many meta-clusters as the richest head has are tried
    as well, and the higher average NMI with the heads decides.

    Args:
        assignments: Cluster ids of all heads, (H, n).
        edges: Their hyperedges.
        classes: Number of classes k.
        settings: ``vertex_weight``, ``imbalance``, ``jaccard_minimum`` and ``mcla_runs`` are used.
        seed: Seed of METIS and of the ties.

    Returns:
        Labels and confidence; fewer than k clusters can come out.
    """
    graph = meta_graph(assignments, edges, settings.jaccard_minimum)
    weights = {"unit": None, "size": edges.size}[settings.vertex_weight]
    found: dict[str, Labelling] = {}
    for number in _meta_cluster_numbers(edges, classes):
        meta = partition_graph(
            graph,
            number,
            seed=seed,
            imbalance=settings.imbalance,
            vertex_weights=weights,
            prepared=True,
            runs=settings.mcla_runs,
        )
        found[f"{number} meta-clusters"] = collapse_and_assign(assignments, edges, meta, number, (seed, 1))
    chosen = next(iter(found))
    if len(found) > 1:
        chosen = choose_by_anmi({name: average_nmi(one.labels, assignments) for name, one in found.items()})
    note = chosen if chosen == f"{classes} meta-clusters" else f"{chosen}, as many as the richest head has clusters"
    return Labelling(found[chosen].labels, found[chosen].confidence, note)
