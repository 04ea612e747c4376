"""How strongly an image belongs to groups of hyperedges: the second half of MCLA, and the count of votes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline_lib.base.contingency import Integers
from pipeline_lib.base.row_blocks import row_blocks

_BLOCK_ENTRIES = 1 << 22
_ROUNDING = 1e-12


def _group_table(group_of: Sequence[NDArray[np.int64]]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    offsets = np.concatenate([[0], np.cumsum([len(groups) for groups in group_of])])
    return np.concatenate(group_of).astype(np.int32), offsets


def _strongest_in_block(
    groups: NDArray[np.int32], weight: NDArray[np.float64], generator: np.random.Generator
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    images, heads = groups.shape
    ordered = np.sort(groups, axis=1).ravel()  # (b·H,); equal groups of an image stand together as one run
    begins = np.empty(len(ordered), dtype=bool)
    begins[0] = True
    np.not_equal(ordered[1:], ordered[:-1], out=begins[1:])
    begins[::heads] = True
    start = np.flatnonzero(begins)  # (runs,)
    image = start // heads
    group = ordered[start]
    value = np.diff(start, append=len(ordered)) * weight[group]  # association of the run's image with its group
    first_run = np.searchsorted(image, np.arange(images))
    best = np.maximum.reduceat(value, first_run)  # (b,)
    share = best / np.add.reduceat(value, first_run)
    winners = generator.permutation(np.flatnonzero(value >= best[image] * (1 - _ROUNDING)))
    labels = np.empty(images, dtype=np.int32)
    labels[image[winners]] = group[winners]  # of several winners the last written stays: one by chance
    return labels, share


def strongest_group(
    assignments: Integers,
    group_of: Sequence[NDArray[np.int64]],
    weight: NDArray[np.float64],
    seed: Sequence[int],
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Give every image to the group with the largest weighted count of its hyperedges; ties by seeded chance.

    Work and memory do not depend on the number of groups: O(n H log H), in blocks of rows.

    Args:
        assignments: Cluster ids of all heads, (H, n).
        group_of: For each head the group of every cluster id, (C_h,).
        weight: Positive factor of each group's count, (G,): 1 / its number of hyperedges gives the mean membership of
            MCLA (Strehl & Ghosh 2002, section 3.4), 1 gives votes.
        seed: Seed of the ties.

    Returns:
        Group of each image, int32 (n,), and the winner's share of the sum over all groups, float32 (n,) in (0, 1].
    """
    heads, images = assignments.shape
    generator = np.random.default_rng(seed)
    table, offsets = _group_table(group_of)
    labels = np.empty(images, dtype=np.int32)
    share = np.empty(images, dtype=np.float32)
    for rows in row_blocks(images, max(1, _BLOCK_ENTRIES // heads)):
        position = assignments[:, rows].astype(np.int64)  # (H, b)
        position += offsets[:-1, None]
        labels[rows], share[rows] = _strongest_in_block(table[position.T], weight, generator)
    return labels, share
