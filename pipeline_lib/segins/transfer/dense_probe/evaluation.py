"""The dense probe of one checkpoint on one data set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
from pipeline_lib.segins.transfer.dense_probe.cells import STAGES, cell_features, object_shares, pixel_scores
from pipeline_lib.segins.transfer.dense_probe.ridge import LinearScore, Moments, chosen_strength, total_of
from pipeline_lib.segins.transfer.dense_probe.score_counts import ScoreCounts, lower_edge
from pipeline_lib.segins.transfer.segmentation.inference import image_groups
from pipeline_lib.segins.transfer.segmentation.samples import rows_with_maps
from pipeline_lib.segins.transfer.settings import DenseProbeSettings

PROBES = {"": "res3", "deep_": "res4"}
"""First of the stages that a probe sees, by the prefix of its measures. With res3 networks of random weights come out
nearly alike, but it hides what changes in res4, which the SegIns branch trains."""


@dataclass(frozen=True)
class Probe:
    """A linear function of the features from the ``first`` one on, and the ridge strength that it was fitted with."""

    first: int
    score: LinearScore
    strength: float


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
    device: torch.device

    def __iter__(self) -> Iterator[tuple[Tensor, NDArray[np.uint8]]]:
        """Features of an image's cells, float32 (C, h, w) on the CPU, and its true classes, uint8 (H, W)."""
        ids = self.dataset.ids(self.split)
        for group in image_groups(self.dataset, self.split, self.rows, self.normalisation, self.short_side):
            pixels = torch.stack([image.pixels for image in group]).to(self.device)  # (b, 3, H, W)
            features = cell_features(self.model, pixels).cpu()
            for image, found in zip(group, features, strict=True):
                truth = self.objects.segmentation(int(ids[image.row]))
                if truth is not None:
                    yield found, truth


def dense_probe(
    model: nn.Module,
    channels: Mapping[str, int],
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
        channels: Channels of its stages, by name.
        dataset: The images.
        objects: Their maps.
        normalisation: Of the pixels.
        settings: Settings.
        device: Where to compute features.

    Returns:
        For each of ``PROBES``, ``pixel_ap`` and ``iou`` on val in [0, 1], ``threshold`` and ``strength`` after its
        prefix; ``object_share`` (the AP of chance), ``train_images`` and ``test_images``.

    Raises:
        UserError: A split has no maps, fewer images than there are folds, or no object.
    """
    model.eval()

    def images(split: str, most: int | None) -> MappedImages:
        mapped = rows_with_maps(dataset, objects, split)
        rows = mapped[spread_rows(len(mapped), most)]
        return MappedImages(model, dataset, objects, split, rows, normalisation, settings.short_side, device)

    train, test = images("train", settings.train_images), images("val", settings.test_images)
    folds = fold_moments(train, settings.folds)
    probes = {
        prefix: fitted_probe(folds, first_column(channels, stage), settings.strengths)
        for prefix, stage in PROBES.items()
    }
    on_train, on_test = score_counts(train, probes), score_counts(test, probes)
    measures: dict[str, Any] = {}
    for prefix, probe in probes.items():
        threshold = on_train[prefix].best_bin()
        measures |= {
            f"{prefix}pixel_ap": on_test[prefix].average_precision(),
            f"{prefix}iou": float(on_test[prefix].iou()[threshold]),
            f"{prefix}threshold": lower_edge(threshold),
            f"{prefix}strength": probe.strength,
        }
    share = next(iter(on_test.values())).object_share()
    return measures | {"object_share": share, "train_images": len(train.rows), "test_images": len(test.rows)}


def first_column(channels: Mapping[str, int], stage: str) -> int:
    """Where the features of a stage begin among those of all ``STAGES``."""
    return sum(channels[before] for before in STAGES[: STAGES.index(stage)])


def fitted_probe(folds: Sequence[Moments], first: int, strengths: Sequence[float]) -> Probe:
    """The probe of the features from the ``first`` one on, with the strength that cross-validation chooses."""
    parts = [fold.from_column(first) for fold in folds]
    strength = chosen_strength(parts, strengths)
    return Probe(first, total_of(parts).fitted(strength), strength)


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


def score_counts(images: MappedImages, probes: Mapping[str, Probe]) -> dict[str, ScoreCounts]:
    """Scores of all pixels by each probe against their truth."""
    counts = {name: ScoreCounts() for name in probes}
    for features, truth in images:
        for name, probe in probes.items():
            weights = torch.from_numpy(probe.score.weights)
            scores = torch.einsum("c,chw->hw", weights, features[probe.first :].double()) + probe.score.bias
            counts[name].add(pixel_scores(scores, *truth.shape), truth)
    return counts
