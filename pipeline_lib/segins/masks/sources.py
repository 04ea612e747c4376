"""Masks of all images, by ContraCAM, by TokenCut, by a control or from the truth; in the order of the batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from pipeline_lib.segins.masks.batches import ImageBatch
from pipeline_lib.segins.masks.contracam import Positive, contracam
from pipeline_lib.segins.masks.network import EmbeddingNetwork
from pipeline_lib.segins.masks.thresholds import thresholded
from pipeline_lib.segins.masks.tokencut import token_cut
from pipeline_lib.segins.masks.truth import ImageTruth


@dataclass(frozen=True)
class PseudoMask:
    """The mask of one image.

    Attributes:
        row: Row of the image.
        image_size: Height and width of the image in pixels.
        soft: What the mask was cut out of, float32 (H, W) in [0, 1].
        mask: Foreground, bool (H, W).
    """

    row: int
    image_size: tuple[int, int]
    soft: NDArray[np.float32]
    mask: NDArray[np.bool_]


def contracam_masks(
    fabric: Any,
    network: EmbeddingNetwork,
    batches: Iterable[ImageBatch],
    *,
    iterations: int,
    positive: Positive,
    threshold: float | Literal["auto"],
) -> Iterator[PseudoMask]:
    """ContraCAM's maps above a threshold (thesis 3.1.2).

    Args:
        fabric: The launched engine.
        network: Backbone and projector.
        batches: All images.
        iterations: 1 is one pass.
        positive: See :func:`~pipeline_lib.segins.masks.contracam.contrastive_score`.
        threshold: Value of the map above which a pixel is foreground, or ``auto``: Otsu's of each image.

    Yields:
        One mask an image.
    """
    network = fabric.to_device(network)
    for batch in batches:
        images = fabric.to_device(batch.images)
        maps = contracam(network, images, iterations=iterations, positive=positive).cpu()  # (B, 1, H, W)
        for number in range(batch.wanted):
            soft = resized_map(maps[number, 0], batch.sizes[number])
            yield PseudoMask(batch.rows[number], batch.image_sizes[number], soft, thresholded(soft, threshold))


def tokencut_masks(
    fabric: Any,
    features_of: torch.nn.Module,
    grid: tuple[int, int],
    batches: Iterable[ImageBatch],
    *,
    similarity: float,
) -> Iterator[PseudoMask]:
    """TokenCut's object of each image, enlarged without interpolation.

    Args:
        fabric: The launched engine.
        features_of: From images (B, 3, H, W) to features of their patches (B, h w, d), such as a transformer's keys.
        grid: h and w.
        batches: All images.
        similarity: Cosine similarity above which two patches are joined.

    Yields:
        One mask an image; the soft map is the eigenvector scaled to [0, 1].
    """
    features_of = fabric.to_device(features_of)
    for batch in batches:
        with torch.inference_mode():
            features = features_of(fabric.to_device(batch.images)).cpu().numpy()  # (B, h w, d)
        for number in range(batch.wanted):
            cut = token_cut(features[number], grid, similarity)
            size = batch.sizes[number]
            vector = cut.eigenvector - cut.eigenvector.min()
            scaled = torch.from_numpy((vector / max(vector.max(), 1e-20)).astype(np.float32))
            mask = resized_map(torch.from_numpy(cut.mask.astype(np.float32)), size, "nearest-exact") > 0.5
            yield PseudoMask(batch.rows[number], batch.image_sizes[number], resized_map(scaled, size), mask)


def control_masks(
    batches: Iterable[ImageBatch], control: Callable[[int, int], NDArray[np.bool_]]
) -> Iterator[PseudoMask]:
    """A mask that depends on the image's size only.

    Args:
        batches: All images.
        control: Gives the mask of a height and a width.

    Yields:
        One mask an image.
    """
    for batch in batches:
        for number in range(batch.wanted):
            mask = control(*batch.sizes[number])
            yield PseudoMask(batch.rows[number], batch.image_sizes[number], mask.astype(np.float32), mask)


def oracle_masks(
    batches: Iterable[ImageBatch], truth_of: Callable[[int, tuple[int, int], tuple[int, int]], ImageTruth | None]
) -> Iterator[PseudoMask]:
    """The true objects, an upper bound of what masks can bring: boxes where not every object has a mask.

    Args:
        batches: All images.
        truth_of: From a row, the image's size and the mask's size to the truth, or ``None`` where there is none.

    Yields:
        One mask an image; it is empty where the image has no object.
    """
    for batch in batches:
        for number in range(batch.wanted):
            row, image_size, size = batch.rows[number], batch.image_sizes[number], batch.sizes[number]
            truth = truth_of(row, image_size, size)
            mask = np.zeros(size, dtype=bool)
            if truth is not None:
                mask = truth.in_boxes if truth.on_objects is None else truth.on_objects
            yield PseudoMask(row, image_size, mask.astype(np.float32), mask)


def resized_map(
    values: Tensor, size: tuple[int, int], mode: Literal["bilinear", "nearest-exact"] = "bilinear"
) -> NDArray[np.float32]:
    """A map at another height and width, float32 (h, w) to (H, W)."""
    resized = functional.interpolate(values[None, None].float(), size=size, mode=mode)[0, 0]
    return np.asarray(resized.numpy(), dtype=np.float32)
