"""Reads a split's images as tensor batches, in row order, decoded by worker processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from pipeline_lib.artifacts.dataset import Dataset
from pipeline_lib.base.errors import UserError
from pipeline_lib.images.decoding import decode

Transform = Callable[[Image.Image], Tensor]
Batch = tuple[Tensor, Tensor]
T = TypeVar("T")


class ImageBatches(IterableDataset[Batch | UserError]):
    """Batches of consecutive rows; of W workers, worker w decodes every W-th batch from batch w on.

    A ``DataLoader`` asks its workers in turn, so that batches come out in row order. An error that the user can mend
    comes in the place of a batch, as the last item: raised, a worker's errors arrive with its traceback as their text.
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

    def __iter__(self) -> Iterator[Batch | UserError]:
        worker = get_worker_info()
        own = self._batches if worker is None else self._batches[worker.id :: worker.num_workers]
        for rows in own:
            try:
                yield self._read(rows)
            except UserError as error:
                yield error
                return

    def _read(self, rows: range) -> Batch:
        images = [
            self._transform(decode(image, None if not isinstance(image, bytes) else f"{self._split} row {row}"))
            for row, image in self._dataset.images(self._split, rows.start, rows.stop)
        ]
        return torch.arange(rows.start, rows.stop), torch.stack(images)  # (B,), (B, C, H, W)


class ImageLoader:
    """Batches of a split in row order: rows int64 (B,) and images (B, C, H, W).

    Attributes:
        batches: The loader with its workers.
    """

    def __init__(self, batches: DataLoader[Batch | UserError]) -> None:
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Batch]:
        for batch in self.batches:
            if isinstance(batch, UserError):
                raise batch
            yield batch


def image_loader(
    dataset: Dataset,
    split: str,
    rows: range,
    transform: Transform,
    batch_size: int,
    workers: int,
    pin_memory: bool = False,
) -> ImageLoader:
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
        A loader of pairs: rows int64 (B,), images (B, C, H, W). Iterating over it raises the UserError of an image that
        cannot be decoded or transformed, whichever process found it.
    """
    batches = ImageBatches(dataset, split, rows, transform, batch_size)
    return ImageLoader(
        DataLoader(
            batches,
            batch_size=None,
            num_workers=min(workers, len(batches)),
            collate_fn=_as_it_is,
            pin_memory=pin_memory,
        )
    )


def _as_it_is(batch: T) -> T:
    return batch
