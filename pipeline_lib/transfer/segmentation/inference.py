"""Classes of all pixels of whole images, and how right they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pipeline_lib.artifacts.dataset import Dataset
from pipeline_lib.artifacts.objects import Objects
from pipeline_lib.data.decoding import decode
from pipeline_lib.transfer.normalisation import Normalisation
from pipeline_lib.transfer.segmentation.model import LinearSegmenter
from pipeline_lib.transfer.segmentation.samples import resized
from pipeline_lib.transfer.segmentation.scores import ConfusionMatrix


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
    """Predict whole images one by one, at their own size.

    Args:
        segmenter: The model, on ``device``.
        dataset: The images.
        split: Split of the data set.
        rows: Rows of the split.
        normalisation: Of the pixels.
        short_side: Side that the shorter side is resized to for the network; ``None``: as it is.
        device: Where to compute.

    Yields:
        Row, and the class of every pixel, uint8 (H, W).
    """
    segmenter.eval()
    for row in rows.tolist():
        image = decode(dataset.image(split, row), dataset.name(split, row))
        pixels = normalisation(resized(image, short_side))[None].to(device)  # (1, 3, h, w)
        scores = nn.functional.interpolate(
            segmenter(pixels), image.size[::-1], mode="bilinear", align_corners=False
        )  # (1, classes, H, W)
        yield row, scores[0].argmax(dim=0).to(torch.uint8).cpu().numpy()


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
