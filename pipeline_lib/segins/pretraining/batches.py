"""Batches of raw views, made ahead by worker processes, with the time that training waited for them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from pipeline_lib.base.errors import UserError
from pipeline_lib.base.runtime import block_of_rank
from pipeline_lib.segins.pretraining.views import RawViews, ViewMaker, Views


def epoch_order(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Order of the images in an epoch, int64 (count,); it depends on seed and epoch alone."""
    return np.random.default_rng([seed, epoch]).permutation(count)


class BatchOrder:
    """Which images a process works on in each part of each batch.

    Args:
        count: Number of training images.
        batch_size: Images a step, over all processes.
        accumulate: Parts of a batch.
        seed: Seed of the order.
        rank: Number of this process.
        processes: Number of processes.

    Raises:
        UserError: There are fewer images than in a batch, or processes cannot share a part.
    """

    def __init__(self, count: int, batch_size: int, accumulate: int, seed: int, rank: int, processes: int) -> None:
        if count < batch_size:
            raise UserError(f"batch_size = {batch_size} of the pretraining: at most the {count} training images")
        if batch_size // accumulate % processes:
            raise UserError(
                f"batch_size = {batch_size} of the pretraining: with accumulate = {accumulate} a multiple of "
                f"{accumulate * processes} for {processes} processes"
            )
        self.steps = count // batch_size
        self._count = count
        self._batch_size = batch_size
        self._part = batch_size // accumulate
        self.seed = seed
        self._own = block_of_rank(self._part, rank, processes)

    def parts(self, first_epoch: int, first_step: int, epochs: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """Epoch and own rows of each part, from a step of an epoch to the end of all epochs."""
        for epoch in range(first_epoch, epochs):
            order = epoch_order(self._count, self.seed, epoch)
            start = first_step if epoch == first_epoch else 0
            for first in range(start * self._batch_size, self.steps * self._batch_size, self._part):
                yield epoch, order[first + self._own.start : first + self._own.stop]


class _RawParts(TorchDataset[RawViews]):
    def __init__(self, maker: ViewMaker) -> None:
        self._maker = maker

    def __getitem__(self, part: tuple[int, NDArray[np.int64]]) -> RawViews | UserError:  # type: ignore[override]
        try:
            return self._maker.raw(*part)
        except UserError as error:
            # Raised, it would arrive with the worker's traceback as its text.
            return error


def _as_it_is(raw: Any) -> Any:
    return raw


class ViewBatches:
    """Views of each part of the batches in turn.

    Attributes:
        waited: Seconds that were spent waiting for views, and making them on this process' side.

    Args:
        maker: Makes the views.
        parts: Epoch and rows of each part.
        workers: Processes that make crops ahead; 0: none.
        device: Training device.
    """

    def __init__(
        self,
        maker: ViewMaker,
        parts: Iterator[tuple[int, NDArray[np.int64]]],
        workers: int,
        device: torch.device,
    ) -> None:
        self.waited = 0.0
        self._maker = maker
        self._device = device
        self._loader: DataLoader[RawViews] = DataLoader(
            _RawParts(maker),
            sampler=parts,
            batch_size=None,
            num_workers=workers,
            collate_fn=_as_it_is,
            pin_memory=device.type == "cuda",
        )

    def __iter__(self) -> Iterator[Views]:
        raw_parts = iter(self._loader)
        while True:
            asked = time.perf_counter()
            raw = next(raw_parts, None)
            if raw is None:
                return
            if isinstance(raw, UserError):
                raise raw
            views = self._maker.finished(raw, self._device)
            self.waited += time.perf_counter() - asked
            yield views
