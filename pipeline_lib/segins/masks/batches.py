"""Images for the masks: in a seeded order, in batches of one size, resized and normalised."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from pipeline_lib.base.errors import UserError
from pipeline_lib.base.progress import progress
from pipeline_lib.base.runtime import block_of_rank

Read = Callable[[int], Image.Image]


@dataclass(frozen=True)
class ImageInput:
    """What a network gets of an image.

    Attributes:
        height: Pixels; the sides are resized without regard to the image's proportions: the whole image is seen.
        width: Pixels.
        mean: Mean of each channel for values in [0, 1].
        std: Standard deviation of each channel.
    """

    height: int
    width: int
    mean: Sequence[float]
    std: Sequence[float]

    def __call__(self, image: Image.Image) -> Tensor:
        """An RGB image as float32 (3, height, width)."""
        resized = image.resize((self.width, self.height), Image.Resampling.BILINEAR)
        values = torch.from_numpy(np.array(resized, dtype=np.float32)).permute(2, 0, 1) / 255  # (3, H, W)
        return (values - torch.tensor(self.mean).view(3, 1, 1)) / torch.tensor(self.std).view(3, 1, 1)


@dataclass(frozen=True)
class ImageBatch:
    """Images that a network sees together.

    Attributes:
        rows: Row of each image, (B,).
        images: float32 (B, 3, H, W).
        image_sizes: Height and width in pixels of each image, (B,).
        sizes: Those of each image's mask, (B,).
        wanted: How many of the first are asked for; the others only complete the batch.
    """

    rows: tuple[int, ...]
    images: Tensor
    image_sizes: tuple[tuple[int, int], ...]
    sizes: tuple[tuple[int, int], ...]
    wanted: int

    def pin_memory(self) -> ImageBatch:
        """The same batch where a device can copy it from while the one before is computed."""
        return replace(self, images=self.images.pin_memory())


def batch_rows(count: int, batch_size: int, seed: int) -> list[tuple[tuple[int, ...], int]]:
    """Put rows together at random: maps depend on who is in the batch, and a data set may be sorted by class.

    Args:
        count: Number of images, at least 1.
        batch_size: Images a batch; all of them where there are fewer.
        seed: Seed of the order.

    Returns:
        Rows of each batch, and how many of them are new. The last batch is completed with the first of the order, so
        that all batches have one size.
    """
    order = np.random.default_rng(seed).permutation(count)
    size = min(batch_size, count)
    batches = []
    for first in range(0, count, size):
        rows = order[np.arange(first, first + size) % count]
        batches.append((tuple(rows.tolist()), min(size, count - first)))
    return batches


def mask_size(image: Image.Image, longest_side: int) -> tuple[int, int]:
    """Height and width of the mask that is kept: the image's, or smaller in the same proportions."""
    scale = min(1.0, longest_side / max(image.size))
    return max(1, round(image.height * scale)), max(1, round(image.width * scale))


class _Batches(Dataset[ImageBatch | UserError]):
    """One item a batch, so that worker processes read whole batches; an unreadable image comes as its error."""

    def __init__(
        self, batches: list[tuple[tuple[int, ...], int]], read: Read, image_input: ImageInput, longest_side: int
    ) -> None:
        self._batches = batches
        self._read = read
        self._input = image_input
        self._longest_side = longest_side

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, number: int) -> ImageBatch | UserError:
        rows, wanted = self._batches[number]
        try:
            images = [self._read(row) for row in rows]
        except UserError as error:
            # Raised in a worker, it would arrive with the worker's traceback as its text.
            return error
        sizes = tuple(mask_size(image, self._longest_side) for image in images)
        image_sizes = tuple((image.height, image.width) for image in images)
        return ImageBatch(rows, torch.stack([self._input(image) for image in images]), image_sizes, sizes, wanted)


def _as_it_is(item: Any) -> Any:
    return item


def image_batches(
    count: int,
    read: Read,
    image_input: ImageInput,
    *,
    batch_size: int,
    longest_side: int,
    seed: int,
    workers: int,
    rank: int = 0,
    processes: int = 1,
    pinned: bool = False,
) -> Iterator[ImageBatch]:
    """Read all images once; each process gets its share of the batches, which are the same for any number of them.

    Args:
        count: Number of images.
        read: Gives the RGB image of a row; picklable where processes are spawned.
        image_input: What the network gets.
        batch_size: Images a batch.
        longest_side: Masks are no larger than this, pixels.
        seed: Seed of the order.
        workers: Processes that read; 0 reads in this one.
        rank: Number of this process.
        processes: Number of processes.
        pinned: Put batches where a device can copy them from meanwhile.

    Yields:
        Batches, the same for any number of workers.

    Raises:
        UserError: An image cannot be read.
    """
    rows = batch_rows(count, batch_size, seed)
    own = block_of_rank(len(rows), rank, processes)
    batches = _Batches(rows[own.start : own.stop], read, image_input, longest_side)
    loader = DataLoader(
        batches,
        batch_size=None,
        num_workers=min(workers, len(batches)),
        collate_fn=_as_it_is,
        pin_memory=pinned,
    )
    for batch in progress(loader, "masks", total=len(batches), unit="batch"):
        if isinstance(batch, UserError):
            raise batch
        yield batch
