"""Classes of all pixels of whole images, and how right they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline_lib.artifacts.dataset import Dataset
from pipeline_lib.artifacts.objects import Objects
from pipeline_lib.base.progress import progress
from pipeline_lib.images.decoding import decode
from pipeline_lib.images.normalisation import Normalisation
from pipeline_lib.segins.transfer.segmentation.model import LinearSegmenter
from pipeline_lib.segins.transfer.segmentation.samples import resized
from pipeline_lib.segins.transfer.segmentation.scores import ConfusionMatrix

_BATCH_PIXELS = 1 << 18
"""One image of 512 × 512 pixels, or 64 of 64 × 64."""


@torch.inference_mode()
def predicted_maps(
    segmenter: LinearSegmenter,
    dataset: Dataset,
    split: str,
    rows: NDArray[np.int64],
    normalisation: Normalisation,
    short_side: int | None,
    device: torch.device,
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Predict whole images at their own size; neighbours in the row that are of one size share a batch.

    Args:
        segmenter: The model, on ``device``.
        dataset: The images.
        split: Split of the data set.
        rows: Rows of the split.
        normalisation: Of the pixels.
        short_side: Side that the shorter side is resized to for the network; ``None``: as it is.
        device: Where to compute.

    Yields:
        Row, and the class of every pixel, uint8 (H, W), in the order of the rows.
    """
    segmenter.eval()
    for group in image_groups(dataset, split, rows, normalisation, short_side):
        pixels = torch.stack([entry.pixels for entry in group]).to(device)  # (b, 3, h, w)
        scores = nn.functional.interpolate(
            segmenter(pixels), group[0].size, mode="bilinear", align_corners=False
        )  # (b, classes, H, W)
        maps = scores.argmax(dim=1).to(torch.uint8).cpu().numpy()  # (b, H, W)
        yield from zip((entry.row for entry in group), maps, strict=True)


@dataclass(frozen=True)
class SizedImage:
    """Row of an image, its height and width, and the resized pixels, float32 (3, h, w)."""

    row: int
    size: tuple[int, int]
    pixels: Tensor


def image_groups(
    dataset: Dataset, split: str, rows: NDArray[np.int64], normalisation: Normalisation, short_side: int | None
) -> Iterator[list[SizedImage]]:
    """Runs of images of one size, of at most ``_BATCH_PIXELS`` pixels together or one image.

    Args:
        dataset: The images.
        split: Split of the data set.
        rows: Rows of the split.
        normalisation: Of the pixels.
        short_side: Side that the shorter side is resized to for the network; ``None``: as it is.

    Yields:
        Images that fit into one batch, in the order of the rows.
    """
    group: list[SizedImage] = []
    for row in progress(rows.tolist(), "read images", unit="image"):
        image = decode(dataset.image(split, row), dataset.name(split, row))
        entry = SizedImage(row, (image.height, image.width), normalisation(resized(image, short_side)))
        full = (len(group) + 1) * entry.pixels[0].numel() > _BATCH_PIXELS
        if group and (full or entry.size != group[0].size):
            yield group
            group = []
        group.append(entry)
    if group:
        yield group


def evaluate_maps(
    predicted: Iterator[tuple[int, NDArray[np.uint8]]],
    dataset: Dataset,
    objects: Objects,
    split: str,
    classes: int,
    keep: Callable[[int, NDArray[np.uint8]], None],
) -> ConfusionMatrix:
    """Compare predictions with the truth.

    Args:
        predicted: Rows and maps.
        dataset: The images.
        objects: Their true maps.
        split: Split of the data set.
        classes: Number of classes, the background among them.
        keep: Called with each row and its map.

    Returns:
        The counts.
    """
    ids = dataset.ids(split)
    matrix = ConfusionMatrix(classes)
    for row, found in predicted:
        truth = objects.segmentation(int(ids[row]))
        if truth is not None:
            matrix.add(truth, found)
        keep(row, found)
    return matrix
