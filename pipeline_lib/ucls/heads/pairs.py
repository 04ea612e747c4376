"""Which images and neighbours meet in which iteration: a function of seed and epoch alone, so a run can be resumed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline_lib.base.errors import UserError
from pipeline_lib.base.runtime import block_of_rank

Draw = Callable[[NDArray[np.int64], NDArray[np.float64]], NDArray[np.int64]]
"""Neighbours of rows (B,) picked by uniform numbers in [0, 1) (B, M): row indices (B, M)."""


@dataclass(frozen=True)
class PairSampler:
    """Draws batches of images with neighbours; every image once an epoch, the incomplete last batch left out.

    Attributes:
        count: Number of training images.
        batch_size: Pairs a batch over all processes; at most ``count``.
        neighbors_per_image: Neighbours drawn for each image.
        draw: Picks neighbours by uniform numbers.
        seed: Seed.
    """

    count: int
    batch_size: int
    neighbors_per_image: int
    draw: Draw
    seed: int

    @property
    def batches(self) -> int:
        """Batches an epoch."""
        return self.count // self.batch_size

    def epoch(self, epoch: int, rank: int, world_size: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Batches of one epoch.

        Args:
            epoch: Index of the epoch.
            rank: Process index; each process gets its contiguous share of every global batch.
            world_size: Number of processes.

        Yields:
            Rows of the images (b,) and of their neighbours (b, M), with b = batch size / processes.
        """
        generator = np.random.default_rng((self.seed, epoch))
        order = generator.permutation(self.count)
        share = block_of_rank(self.batch_size, rank, world_size)
        for batch in range(self.batches):
            rows = order[batch * self.batch_size : (batch + 1) * self.batch_size]
            uniforms = generator.random((self.batch_size, self.neighbors_per_image))
            rows = rows[share.start : share.stop]
            yield rows, self.draw(rows, uniforms[share.start : share.stop])


def fitted_batch_size(requested: int, count: int, world_size: int) -> int:
    """The global batch size that is possible: at most the number of images, the same share for every process.

    Args:
        requested: Batch size asked for.
        count: Number of training images.
        world_size: Number of processes.

    Returns:
        The largest possible batch size up to ``requested``.

    Raises:
        UserError: There are fewer than two images a process.
    """
    fitted = min(requested, count) // world_size * world_size
    if fitted < 2 * world_size:
        raise UserError(
            f"train_heads.batch_size = {requested} with {count} training images in {world_size} process(es): "
            "at least two images a process are needed"
        )
    return fitted
