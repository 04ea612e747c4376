"""The dense probe of one checkpoint on one data set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline_lib.artifacts.dataset import Dataset
from pipeline_lib.artifacts.objects import Objects
from pipeline_lib.base.errors import UserError
from pipeline_lib.base.row_blocks import spread_rows
from pipeline_lib.images.normalisation import Normalisation
from pipeline_lib.segins.transfer.dense_probe.cells import cell_features, object_shares, pixel_scores
from pipeline_lib.segins.transfer.dense_probe.ridge import LinearScore, Moments, chosen_strength, total_of
from pipeline_lib.segins.transfer.dense_probe.score_counts import ScoreCounts, lower_edge
from pipeline_lib.segins.transfer.segmentation.inference import image_groups
from pipeline_lib.segins.transfer.segmentation.samples import rows_with_maps
from pipeline_lib.segins.transfer.settings import DenseProbeSettings


@dataclass(frozen=True)
class MappedImages:
    """Images of a split with maps of their pixels, as a network sees them."""

    model: nn.Module
    dataset: Dataset
    objects: Objects
    split: str
    rows: NDArray[np.int64]
    normalisation: Normalisation
    short_side: int | None
    stages: tuple[str, ...]
    device: torch.device

    def __iter__(self) -> Iterator[tuple[Tensor, NDArray[np.uint8]]]:
        """Features of an image's cells, float32 (C, h, w) on the CPU, and its true classes, uint8 (H, W)."""
        ids = self.dataset.ids(self.split)
        for group in image_groups(self.dataset, self.split, self.rows, self.normalisation, self.short_side):
            pixels = torch.stack([image.pixels for image in group]).to(self.device)  # (b, 3, H, W)
            features = cell_features(self.model, pixels, self.stages).cpu()
            for image, found in zip(group, features, strict=True):
                truth = self.objects.segmentation(int(ids[image.row]))
                if truth is not None:
                    yield found, truth


def dense_probe(
    model: nn.Module,
    dataset: Dataset,
    objects: Objects,
    normalisation: Normalisation,
    settings: DenseProbeSettings,
    device: torch.device,
) -> dict[str, Any]:
    """Ridge regression of the share of object in every cell of the feature map, tested on all pixels.

    Its strength is chosen by cross-validation over training images, its threshold as the one with the best IoU on their
    pixels. Nothing is drawn: equal inputs give equal measures.

    Args:
        model: A ResNet of ``build_resnet`` on ``device``; put into evaluation mode.
        dataset: The images.
        objects: Their maps.
        normalisation: Of the pixels.
        settings: Settings.
        device: Where to compute features.

    Returns:
        ``pixel_ap`` and ``iou`` on val in [0, 1], ``object_share`` (the AP of chance), ``threshold``, ``strength``,
        ``train_images`` and ``test_images``.

    Raises:
        UserError: A split has no maps, fewer images than there are folds, or no object.
    """
    model.eval()

    def images(split: str, most: int | None) -> MappedImages:
        mapped = rows_with_maps(dataset, objects, split)
        rows = mapped[spread_rows(len(mapped), most)]
        return MappedImages(
            model, dataset, objects, split, rows, normalisation, settings.short_side, settings.stages, device
        )

    train, test = images("train", settings.train_images), images("val", settings.test_images)
    folds = fold_moments(train, settings.folds)
    strength = chosen_strength(folds, settings.strengths)
    score = total_of(folds).fitted(strength)
    threshold = score_counts(train, score).best_bin()
    tested = score_counts(test, score)
    return {
        "pixel_ap": tested.average_precision(),
        "iou": float(tested.iou()[threshold]),
        "object_share": tested.object_share(),
        "threshold": lower_edge(threshold),
        "strength": strength,
        "train_images": len(train.rows),
        "test_images": len(test.rows),
    }


def fold_moments(images: MappedImages, folds: int) -> list[Moments]:
    """Moments of the cells of each fold; an image is in one fold with all of its cells.

    Raises:
        UserError: There are fewer images than folds.
    """
    found: list[Moments] = []
    if len(images.rows) < folds:
        where = f"split {images.split} of {images.dataset.folder}"
        raise UserError(f"dense_probe.folds = {folds}: {where} has {len(images.rows)} images; allowed: no more folds")
    for number, (features, truth) in enumerate(images):
        channels, height, width = features.shape
        if number < folds:
            found.append(Moments(channels))
        shares, counted = object_shares(truth, height, width)
        rows = features.flatten(1).T.double()  # (h · w, C)
        found[number % folds].add(rows.numpy(), shares.flatten().numpy(), counted.flatten().numpy())
    return found


def score_counts(images: MappedImages, score: LinearScore) -> ScoreCounts:
    """Scores of all pixels against their truth."""
    counts = ScoreCounts()
    weights = torch.from_numpy(score.weights)
    for features, truth in images:
        scores = torch.einsum("c,chw->hw", weights, features.double()) + score.bias
        counts.add(pixel_scores(scores, *truth.shape), truth)
    return counts
