"""Images of a split as crops: the centre for testing, random resized crops for training."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
import torch.distributed as dist
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from pipeline_lib.artifacts.dataset import Dataset
from pipeline_lib.base.row_blocks import row_blocks
from pipeline_lib.base.runtime import is_distributed
from pipeline_lib.images.decoding import decode
from pipeline_lib.images.normalisation import Normalisation

RESIZED = 256 / 224
"""Shorter side before the centre crop, as a multiple of the crop."""

_AREA = (0.08, 1.0)
_RATIO = (3 / 4, 4 / 3)
_ATTEMPTS = 10


def centre_crop(image: Image.Image, side: int) -> Image.Image:
    """The middle of an image whose shorter side was resized to ``RESIZED`` times ``side``, side × side pixels."""
    width, height = image.size
    visible = min(width, height) / RESIZED
    left, top = (width - visible) / 2, (height - visible) / 2
    box = (left, top, left + visible, top + visible)
    return image.resize((side, side), Image.Resampling.BILINEAR, box=box)


def random_crop(image: Image.Image, side: int, generator: np.random.Generator) -> Image.Image:
    """A random resized crop of 8 to 100 % of the area and a side ratio of 3:4 to 4:3, flipped half of the times."""
    width, height = image.size
    box: tuple[float, float, float, float] = (0, 0, width, height)
    for _ in range(_ATTEMPTS):
        area = width * height * generator.uniform(*_AREA)
        ratio = math.exp(generator.uniform(math.log(_RATIO[0]), math.log(_RATIO[1])))
        crop_width, crop_height = math.sqrt(area * ratio), math.sqrt(area / ratio)
        if crop_width <= width and crop_height <= height:
            left, top = generator.uniform(0, width - crop_width), generator.uniform(0, height - crop_height)
            box = (left, top, left + crop_width, top + crop_height)
            break
    crop = image.resize((side, side), Image.Resampling.BILINEAR, box=box)
    return crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if generator.random() < 0.5 else crop


class Crops(TorchDataset[Tensor]):
    """Crops of chosen rows of a split; a crop depends on row, epoch and seed alone."""

    def __init__(
        self,
        dataset: Dataset,
        split: str,
        rows: np.ndarray[tuple[int], np.dtype[np.int64]],
        side: int,
        normalisation: Normalisation,
        epoch_of_seed: tuple[int, int] | None = None,
    ) -> None:
        """Choose the crops.

        Args:
            dataset: The images.
            split: Split of the data set.
            rows: Rows of the split, in the order wanted.
            side: Side of a crop, pixels.
            normalisation: Of the pixels.
            epoch_of_seed: Seed and epoch of random crops; ``None``: centre crops.
        """
        self._dataset, self._split, self._rows = dataset, split, rows
        self._side, self._normalisation, self._drawn = side, normalisation, epoch_of_seed

    def __len__(self) -> int:
        """Number of crops."""
        return len(self._rows)

    def __getitem__(self, position: int) -> Tensor:
        """A normalised crop, float32 (3, side, side)."""
        row = int(self._rows[position])
        image = decode(self._dataset.image(self._split, row), self._dataset.name(self._split, row))
        if self._drawn is None:
            return self._normalisation(centre_crop(image, self._side))
        return self._normalisation(random_crop(image, self._side, np.random.default_rng((*self._drawn, row))))

    def batches(self, size: int, workers: int, pinned: bool = False) -> Iterator[Tensor]:
        """This process' share of every batch, in order, float32 (shares, 3, side, side).

        Args:
            size: Crops a batch, over all processes; the last may have fewer.
            workers: Processes that decode; 0: this one does.
            pinned: Put crops where a device can copy them from meanwhile.
        """
        shares = [share_of(positions, *_place()) for positions in row_blocks(len(self), size)]
        loader: DataLoader[Tensor] = DataLoader(
            self,
            batch_sampler=shares,
            num_workers=min(workers, len(shares)),
            collate_fn=torch.stack,
            pin_memory=pinned,
        )
        return iter(loader)


def share_of(block: slice, rank: int, processes: int) -> list[int]:
    """Positions of a batch that one of several processes works on.

    All get as many: where they cannot be shared evenly, the last position is worked on again, and left out of what is
    gathered.
    """
    each = -(-(block.stop - block.start) // processes)
    first = block.start + rank * each
    return [min(position, block.stop - 1) for position in range(first, first + each)]


def _place() -> tuple[int, int]:
    return (dist.get_rank(), dist.get_world_size()) if is_distributed() else (0, 1)
