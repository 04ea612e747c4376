"""Images with maps of their pixels' classes, as the segmenter is trained and tested on them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from pipeline_lib.artifacts.dataset import Dataset
from pipeline_lib.artifacts.objects import IGNORED, Objects
from pipeline_lib.base.errors import UserError
from pipeline_lib.images.decoding import decode
from pipeline_lib.images.normalisation import Normalisation
from pipeline_lib.segins.transfer.segmentation.distortion import distorted

SCALES = (0.5, 2.0)
"""Lowest and highest factor on the image's size in training."""

LARGEST_CLASS_SHARE = 0.75
"""A crop is drawn again while one class has at least this share of its pixels."""

_ATTEMPTS = 10


def rows_with_maps(dataset: Dataset, objects: Objects, split: str) -> NDArray[np.int64]:
    """Rows of a split whose pixels have classes, int64 (n,).

    Raises:
        UserError: There are none.
    """
    ids = dataset.ids(split) if split in dataset.splits else np.zeros(0, dtype=np.int64)
    known = set(objects.with_segmentation(ids.tolist()))
    rows = np.asarray([row for row, image_id in enumerate(ids.tolist()) if image_id in known], dtype=np.int64)
    if not len(rows):
        raise UserError(f"{objects.folder}: no image of split {split} has a segmentation map; choose another data set")
    return rows


def resized(image: Image.Image, short_side: int | None, factor: float = 1.0) -> Image.Image:
    """An image whose shorter side became ``short_side`` (``None``: as it is) times ``factor``."""
    scale = factor * (1.0 if short_side is None else short_side / min(image.size))
    if scale == 1.0:
        return image
    width, height = (max(1, round(side * scale)) for side in image.size)
    return image.resize((width, height), Image.Resampling.BILINEAR)


class TrainingCrops(TorchDataset[tuple[Tensor, Tensor]]):
    """Endless shuffled passes over the images with maps: scaled, cropped, flipped, distorted.

    A crop depends on its position in this row and on the seed alone.
    """

    def __init__(
        self,
        dataset: Dataset,
        objects: Objects,
        normalisation: Normalisation,
        *,
        short_side: int | None,
        crop_size: int,
        seed: int,
    ) -> None:
        """Find the images.

        Args:
            dataset: The images.
            objects: Their maps.
            normalisation: Of the pixels.
            short_side: Side that the shorter side is resized to before the random scale; ``None``: as it is.
            crop_size: Side of a crop, pixels.
            seed: Seed of order and crops.

        Raises:
            UserError: No image of the training split has a map.
        """
        self._dataset, self._objects, self._normalisation = dataset, objects, normalisation
        self._short_side, self._crop_size, self._seed = short_side, crop_size, seed
        self._rows = rows_with_maps(dataset, objects, "train")
        self._ids = dataset.ids("train")

    def _row(self, position: int) -> int:
        passes, place = divmod(position, len(self._rows))
        return int(self._rows[np.random.default_rng((self._seed, passes)).permutation(len(self._rows))[place]])

    def __getitem__(self, position: int) -> tuple[Tensor, Tensor]:
        """A crop and its classes: float32 (3, side, side) and int64 (side, side), 255 outside the image."""
        row = self._row(position)
        generator = np.random.default_rng((self._seed, 1, position))
        image = decode(self._dataset.image("train", row), self._dataset.name("train", row))
        found = self._objects.segmentation(int(self._ids[row]))
        classes = Image.fromarray(np.zeros(image.size[::-1], np.uint8) if found is None else found)
        image = resized(image, self._short_side, generator.uniform(*SCALES))
        classes = classes.resize(image.size, Image.Resampling.NEAREST)
        box = self._box(np.asarray(classes), generator)
        image, classes = distorted(image.crop(box), generator), classes.crop(box)
        pixels, targets = self._normalisation(image), torch.from_numpy(np.asarray(classes).astype(np.int64))
        if generator.random() < 0.5:
            pixels, targets = pixels.flip(-1), targets.flip(-1)
        right, below = (self._crop_size - side for side in (pixels.shape[2], pixels.shape[1]))
        pad = torch.nn.functional.pad
        return pad(pixels, (0, right, 0, below)), pad(targets, (0, right, 0, below), value=IGNORED)

    def _box(self, classes: NDArray[np.uint8], generator: np.random.Generator) -> tuple[int, int, int, int]:
        """Where to crop; drawn again while one class fills more than three quarters of it, at most ten times."""
        height, width = classes.shape
        size = self._crop_size
        for _ in range(_ATTEMPTS):
            left = int(generator.integers(max(0, width - size) + 1))
            top = int(generator.integers(max(0, height - size) + 1))
            box = (left, top, min(left + size, width), min(top + size, height))
            part = classes[box[1] : box[3], box[0] : box[2]]
            counts = np.bincount(part[part != IGNORED].ravel(), minlength=1)
            if np.count_nonzero(counts) > 1 and counts.max() < LARGEST_CLASS_SHARE * counts.sum():
                break
        return box

    def batches(
        self, steps: range, size: int, workers: int, own: range | None = None, pinned: bool = False
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of the given steps: float32 (b, 3, side, side) and int64 (b, side, side).

        Args:
            steps: Numbers of the steps.
            size: Crops a step, over all processes.
            workers: Processes that decode; 0: this one does.
            own: Which crops of a step this process works on, b of them; by default all.
            pinned: Put batches where a device can copy them from meanwhile.
        """
        positions = [[step * size + number for number in own or range(size)] for step in steps]
        loader: DataLoader[tuple[Tensor, Tensor]] = DataLoader(
            self, batch_sampler=_Given(positions), num_workers=workers, pin_memory=pinned
        )
        return iter(loader)


class _Given(torch.utils.data.Sampler[list[int]]):
    """Batches whose positions are given."""

    def __init__(self, batches: Sequence[list[int]]) -> None:
        self._batches = batches

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self._batches)

    def __len__(self) -> int:
        return len(self._batches)
