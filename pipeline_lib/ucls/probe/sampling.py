"""Which rows are held out, and in which order the others are visited."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pipeline_lib.base.errors import UserError

_HOLDOUT_STREAM = 0
_ORDER_STREAM = 1


def split_rows(labels: NDArray[np.int64], fraction: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split the labelled rows at random into training and held-out rows; each has at least one.

    Args:
        labels: Label of each row, (n,); rows with -1 take no part.
        fraction: Share of the labelled rows to hold out, in (0, 1).
        seed: Seed of the draw.

    Returns:
        Training rows and held-out rows, ascending int64.

    Raises:
        UserError: Fewer than two rows have a label.
    """
    labelled = np.flatnonzero(labels >= 0)
    if len(labelled) < 2:
        raise UserError(f"labels: {len(labelled)} rows have a label; at least 2 are needed to train and to hold out")
    held = min(max(1, round(fraction * len(labelled))), len(labelled) - 1)
    order = np.random.default_rng([seed, _HOLDOUT_STREAM]).permutation(len(labelled))
    return np.sort(labelled[order[held:]]), np.sort(labelled[order[:held]])


def batches(
    rows: NDArray[np.int64], batch_size: int, iterations: int, per_chunk: int, seed: int
) -> Iterator[NDArray[np.int64]]:
    """Full batches from an endless row of seeded permutations, handed out several at a time.

    A batch may begin at the end of one permutation and end in the next, as DINOv2's infinite sampler does, so that
    every batch is full. The batches do not depend on ``per_chunk``.

    Args:
        rows: Training rows.
        batch_size: Rows of a batch B.
        iterations: Batches in all.
        per_chunk: Batches handed out at once.
        seed: Seed of the permutations.

    Yields:
        Row numbers (c, B) int64 of the next c <= ``per_chunk`` batches.
    """
    generator = np.random.default_rng([seed, _ORDER_STREAM])
    waiting: list[NDArray[np.int64]] = []
    available = 0
    for first in range(0, iterations, per_chunk):
        count = min(per_chunk, iterations - first)
        while available < count * batch_size:
            waiting.append(rows[generator.permutation(len(rows))])
            available += len(rows)
        stream = np.concatenate(waiting)
        waiting = [stream[count * batch_size :]]
        available -= count * batch_size
        yield stream[: count * batch_size].reshape(count, batch_size)
