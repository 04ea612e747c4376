"""Vote after the heads' cluster ids were aligned to one labelling (Hungarian method), and the share that agrees."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline_lib.base.contingency import Integers, contingency, matched_pairs
from pipeline_lib.base.row_blocks import row_blocks
from pipeline_lib.ucls.consensus.association import strongest_group
from pipeline_lib.ucls.consensus.hypergraph import ROW_BLOCK, Hyperedges
from pipeline_lib.ucls.consensus.mcla import Labelling


def align_clusters(table: NDArray[np.int64]) -> NDArray[np.int64]:
    """Translate the clusters of one labelling into those of another.

    One to one with the most images in common; a cluster that is left over (there are more of them, or its partner
    has no image in common with it) takes the one it has most images in common with.

    Args:
        table: Common images, (clusters, reference clusters).

    Returns:
        Reference cluster of each cluster, int64 (clusters,).
    """
    aligned = table.argmax(axis=1)
    rows, columns = matched_pairs(table)
    aligned[rows] = columns
    return np.asarray(aligned, dtype=np.int64)


def align_heads(assignments: Integers, edges: Hyperedges, reference: Integers, classes: int) -> list[NDArray[np.int64]]:
    """Align every head to a reference labelling.

    Args:
        assignments: Cluster ids of all heads, (H, n).
        edges: Their hyperedges.
        reference: Labels 0 to ``classes`` − 1, (n,).
        classes: Number of reference clusters.

    Returns:
        For each head the reference cluster of every cluster id, int64 (C_h,); 0 for ids that no image has.
    """
    aligned = []
    for head, labels in enumerate(assignments):
        rows = edges.row_of[head]
        table = contingency(labels, reference, len(rows), classes)
        used = edges.cluster[edges.of_head(head)]
        translation = np.zeros(len(rows), dtype=np.int64)
        translation[used] = align_clusters(table[used])
        aligned.append(translation)
    return aligned


def vote(assignments: Integers, edges: Hyperedges, reference: Integers, classes: int, seed: int) -> Labelling:
    """Align every head to ``reference``; the cluster with most votes wins, ties by seeded chance.

    Args:
        assignments: Cluster ids of all heads, (H, n).
        edges: Their hyperedges.
        reference: Labelling that gives the clusters their ids, (n,).
        classes: Number of reference clusters; labels are below.
        seed: Seed of the ties.

    Returns:
        Labels, and the share of votes as confidence.
    """
    aligned = align_heads(assignments, edges, reference, classes)
    labels, share = strongest_group(assignments, aligned, np.ones(classes), (seed, 2))
    return Labelling(labels, share)


def head_agreement(assignments: Integers, edges: Hyperedges, labels: Integers, classes: int) -> NDArray[np.float32]:
    """Share of heads that, aligned to the consensus, give an image the consensus' label.

    Args:
        assignments: Cluster ids of all heads, (H, n).
        edges: Their hyperedges.
        labels: Consensus labels 0 to ``classes`` − 1, (n,).
        classes: Number of consensus clusters.

    Returns:
        Shares, float32 (n,) in [0, 1].
    """
    aligned = align_heads(assignments, edges, labels, classes)
    heads, images = assignments.shape
    agreement = np.empty(images, dtype=np.float32)
    for rows in row_blocks(images, ROW_BLOCK):
        agreeing = np.zeros(rows.stop - rows.start, dtype=np.int32)
        for head in range(heads):
            agreeing += aligned[head][assignments[head, rows]] == labels[rows]
        agreement[rows] = agreeing / heads
    return agreement


def soft_vote(mean_probability: NDArray[np.floating[Any]]) -> Labelling:
    """The most probable class of heads that number their clusters alike (thesis chapter 7); nothing is matched.

    Args:
        mean_probability: Mean class probability of the heads, (n, k), may be memory-mapped.

    Returns:
        Labels, and the probability of the winner as confidence.
    """
    labels = np.empty(len(mean_probability), dtype=np.int32)
    confidence = np.empty(len(mean_probability), dtype=np.float32)
    for block in row_blocks(len(mean_probability), ROW_BLOCK):
        rows = np.asarray(mean_probability[block], dtype=np.float32)
        labels[block], confidence[block] = rows.argmax(axis=1), rows.max(axis=1)
    return Labelling(labels, confidence)
