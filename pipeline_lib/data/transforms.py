"""Reads a split's images as tensor batches, in row order, decoded by worker processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from pipeline_lib.artifacts.dataset import Dataset
from pipeline_lib.data.decoding import decode

Transform = Callable[[Image.Image], Tensor]
T = TypeVar("T")


class ImageBatches(IterableDataset[tuple[Tensor, Tensor]]):
    """Batches of consecutive rows; of W workers, worker w decodes every W-th batch from batch w on.

    A ``DataLoader`` asks its workers in turn, so that batches come out in row order.
    """

    def __init__(self, dataset: Dataset, split: str, rows: range, transform: Transform, batch_size: int) -> None:
        """Prepare to read.

        Args:
            dataset: The opened artifact.
            split: One of its splits.
            rows: Consecutive rows of the split.
            transform: From an RGB image to a tensor (C, H, W), the same shape for all images.
            batch_size: Rows a batch; the last one may be shorter.
        """
        if rows.step != 1:
            raise ValueError(f"rows must be consecutive, got step {rows.step}")
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        self._dataset = dataset
        self._split = split
        self._transform = transform
        self._batches = [rows[first : first + batch_size] for first in range(0, len(rows), batch_size)]

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        worker = get_worker_info()
        own = self._batches if worker is None else self._batches[worker.id :: worker.num_workers]
        for rows in own:
            images = [
                self._transform(decode(image, None if not isinstance(image, bytes) else f"{self._split} row {row}"))
                for row, image in self._dataset.images(self._split, rows.start, rows.stop)
            ]
            yield torch.arange(rows.start, rows.stop), torch.stack(images)  # (B,), (B, C, H, W)


def image_loader(
    dataset: Dataset,
    split: str,
    rows: range,
    transform: Transform,
    batch_size: int,
    workers: int,
    pin_memory: bool = False,
) -> DataLoader[tuple[Tensor, Tensor]]:
    """Read rows of a split in order.

    With a transform that is not random, the batches are the same for any number of workers.

    Args:
        dataset: The opened artifact.
        split: One of its splits.
        rows: Consecutive rows of the split.
        transform: From an RGB image to a tensor (C, H, W); has to be picklable where processes are spawned.
        batch_size: Rows a batch; the last one may be shorter.
        workers: Processes that decode; 0 decodes in this one.
        pin_memory: Give batches in page-locked memory, for copies to a GPU.

    Returns:
        A loader of pairs: rows int64 (B,), images (B, C, H, W).
    """
    batches = ImageBatches(dataset, split, rows, transform, batch_size)
    return DataLoader(
        batches,
        batch_size=None,
        num_workers=min(workers, len(batches)),
        collate_fn=_as_it_is,
        pin_memory=pin_memory,
    )


def _as_it_is(batch: T) -> T:
    return batch
