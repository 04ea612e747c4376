"""Images of a data set as the detector wants them: resized, flipped, normalised, with their objects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from pipeline_lib.artifacts.dataset import Dataset
from pipeline_lib.artifacts.objects import Objects
from pipeline_lib.base.errors import UserError
from pipeline_lib.base.progress import progress
from pipeline_lib.images.decoding import decode, upright_size
from pipeline_lib.images.normalisation import Normalisation
from pipeline_lib.segins.transfer.detection.targets import Targets
from pipeline_lib.segins.transfer.settings import DetectionSettings


def resized_size(width: int, height: int, short_side: int, longest_side: int) -> tuple[int, int]:
    """Width and height after the shorter side became ``short_side``, or less where the longer would pass its bound."""
    scale = min(short_side / min(width, height), longest_side / max(width, height))
    return max(1, int(width * scale + 0.5)), max(1, int(height * scale + 0.5))


class TrainingSamples(TorchDataset[tuple[Tensor, Targets]]):
    """Endless shuffled passes over the images with objects; a sample depends on its position and the seed alone.

    Crowd regions are left out, difficult objects are not, as in detectron2.
    """

    def __init__(
        self,
        dataset: Dataset,
        objects: Objects,
        normalisation: Normalisation,
        *,
        short_sides: Sequence[int],
        longest_side: int,
        masks: bool,
        seed: int,
    ) -> None:
        """Find the images of the training split that have objects.

        Args:
            dataset: The images.
            objects: Their objects.
            normalisation: Of the pixels.
            short_sides: Sides of which one is drawn a sample, pixels.
            longest_side: Largest longer side, pixels.
            masks: Whether masks are needed.
            seed: Seed of order, sides and flips.

        Raises:
            UserError: No image of the training split has an object.
        """
        self._dataset = dataset
        self._objects = objects
        self._normalisation = normalisation
        self._short_sides = tuple(short_sides)
        self._longest_side = longest_side
        self._masks = masks
        self.seed = seed
        ids = dataset.ids("train")
        having = set(objects.with_boxes(ids))
        self._rows: NDArray[np.int64] = np.flatnonzero([int(image_id) in having for image_id in ids])
        self._ids = ids
        self._order: tuple[int, NDArray[np.int64]] = (-1, self._rows)
        if not len(self._rows):
            raise UserError(f"{objects.folder}: no image of the train split has a box; nothing to train a detector on")

    @classmethod
    def of(
        cls, dataset: Dataset, objects: Objects, normalisation: Normalisation, settings: DetectionSettings, seed: int
    ) -> TrainingSamples:
        """Samples as the settings of a detection want them."""
        return cls(
            dataset,
            objects,
            normalisation,
            short_sides=settings.short_sides,
            longest_side=settings.longest_side,
            masks=settings.masks,
            seed=seed,
        )

    @property
    def images(self) -> int:
        """Images a pass."""
        return len(self._rows)

    @cached_property
    def _wide(self) -> NDArray[np.bool_]:
        """Whether each image of the split is wider than high, bool (n,); read once, from the heads of the files."""
        wide = np.zeros(len(self._ids), dtype=bool)
        images = self._dataset.images("train", 0, len(self._ids))
        for row, image in progress(images, "sizes of images", total=len(self._ids), unit="image"):
            width, height = upright_size(image, self._dataset.name("train", row))
            wide[row] = width > height
        return wide

    def is_wide(self, position: int) -> bool:
        """Whether the image of sample number ``position`` is wider than high."""
        return bool(self._wide[self._row(position)])

    def __getitem__(self, position: int) -> tuple[Tensor, Targets]:
        """Sample number ``position`` of the training."""
        row = self._row(position)
        image = decode(self._dataset.image("train", row), self._dataset.name("train", row))
        found = self._objects.of(int(self._ids[row]), with_masks=self._masks)
        draw = np.random.default_rng([self.seed, 1, position])
        width, height = resized_size(image.width, image.height, int(draw.choice(self._short_sides)), self._longest_side)
        flipped = bool(draw.random() < 0.5)
        single = ~found.crowd
        scale = np.array([width / image.width, height / image.height] * 2, dtype=np.float32)
        boxes = (found.boxes[single] * scale).clip(0, [width, height] * 2)
        if flipped:
            boxes[:, [0, 2]] = width - boxes[:, [2, 0]]
        kept = ((boxes[:, 2:] - boxes[:, :2]) > 1e-5).all(axis=1)
        masks = None
        if self._masks and found.masks is not None:
            masks = _resized_masks(found.masks[single][kept], width, height, flipped)
        image = image if image.size == (width, height) else image.resize((width, height), Image.Resampling.BILINEAR)
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flipped else image
        targets = Targets(
            torch.from_numpy(boxes[kept].astype(np.float32)), torch.from_numpy(found.labels[single][kept]).long(), masks
        )
        return self._normalisation(image), targets

    def _row(self, position: int) -> int:
        turn, place = divmod(position, len(self._rows))
        if self._order[0] != turn:
            self._order = (turn, np.random.default_rng([self.seed, 0, turn]).permutation(self._rows))
        return int(self._order[1][place])


def _resized_masks(masks: NDArray[np.bool_], width: int, height: int, flipped: bool) -> Tensor:
    """Nearest pixels of bool (n, H, W), uint8 (n, height, width)."""
    rows = ((np.arange(height) + 0.5) * masks.shape[1] / height).astype(np.int64)
    columns = ((np.arange(width) + 0.5) * masks.shape[2] / width).astype(np.int64)
    if flipped:
        columns = columns[::-1]
    return torch.from_numpy(masks[:, rows[:, None], columns].astype(np.uint8))


@dataclass(frozen=True)
class EvaluationImage:
    """An image to be tested.

    Attributes:
        id: Its id.
        pixels: Normalised float32 (3, H, W).
        width: Of the image before it was resized.
        height: Of the image before it was resized.
    """

    id: int
    pixels: Tensor
    width: int
    height: int


class EvaluationSamples(TorchDataset[EvaluationImage]):
    """Images of a split by row, resized for testing."""

    def __init__(
        self,
        dataset: Dataset,
        split: str,
        rows: NDArray[np.int64],
        normalisation: Normalisation,
        short_side: int,
        longest_side: int,
    ) -> None:
        """Prepare to read.

        Args:
            dataset: The images.
            split: Name of the split.
            rows: Rows of the split, int64 (n,).
            normalisation: Of the pixels.
            short_side: Shorter side, pixels.
            longest_side: Largest longer side, pixels.
        """
        self._dataset = dataset
        self._split = split
        self._rows = rows
        self._ids = dataset.ids(split)
        self._normalisation = normalisation
        self._sides = (short_side, longest_side)

    def __len__(self) -> int:
        """Number of images."""
        return len(self._rows)

    def __getitem__(self, number: int) -> EvaluationImage:
        """Image ``number`` of the rows."""
        if number >= len(self._rows):
            raise IndexError(number)
        row = int(self._rows[number])
        image = decode(self._dataset.image(self._split, row), self._dataset.name(self._split, row))
        size = resized_size(image.width, image.height, *self._sides)
        resized = image if image.size == size else image.resize(size, Image.Resampling.BILINEAR)
        return EvaluationImage(int(self._ids[row]), self._normalisation(resized), image.width, image.height)


def evaluation_batches(samples: EvaluationSamples, batch_size: int, workers: int) -> Iterator[list[EvaluationImage]]:
    """Consecutive images of equal size together, so that none is padded: padding would change its features.

    Args:
        samples: The images.
        batch_size: Most images a batch.
        workers: Processes that decode.

    Yields:
        One to ``batch_size`` images.
    """
    batch: list[EvaluationImage] = []
    for image in DataLoader(samples, batch_size=None, num_workers=workers):
        if batch and (len(batch) == batch_size or batch[0].pixels.shape != image.pixels.shape):
            yield batch
            batch = []
        batch.append(image)
    if batch:
        yield batch


def evaluation_split(dataset: Dataset) -> str:
    """Split that detectors are tested on: ``val``, or ``test`` where there is no ``val``.

    Raises:
        UserError: There is neither.
    """
    for split in ("val", "test"):
        if dataset.splits.get(split):
            return split
    raise UserError(
        f"{dataset.folder}: no image to test on; it needs a split val or test, it has {list(dataset.splits)}"
    )
