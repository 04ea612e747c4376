"""Watches pretraining by the k-NN accuracy of its features, where labels exist; for evaluation only."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from pipeline_lib.segins.pretraining.colour import normalised
from pipeline_lib.segins.pretraining.network import PretrainedNetwork
from pipeline_lib.segins.pretraining.views import ReadImage

_NEIGHBORS = 20
_TEMPERATURE = 0.07
_BATCH = 128


def knn_accuracy(
    base: Tensor, base_labels: NDArray[np.int32], queries: Tensor, labels: NDArray[np.int32], k: int = _NEIGHBORS
) -> float:
    """Share of right classes by the weighted vote of the nearest images (Wu et al., 2018), by cosine.

    Args:
        base: Features of images with known classes, float (M, C).
        base_labels: Their classes, int (M,).
        queries: Features of the images that are scored, float (N, C).
        labels: Their classes, int (N,).
        k: Neighbours that vote.

    Returns:
        Accuracy, [0, 1].
    """
    similarity = F.normalize(queries.float(), dim=1) @ F.normalize(base.float(), dim=1).T  # (N, M)
    nearest, rows = similarity.topk(min(k, len(base)), dim=1)
    classes = torch.from_numpy(base_labels.astype(np.int64))[rows]  # (N, k)
    votes = torch.zeros(len(queries), int(base_labels.max()) + 1)
    votes.scatter_add_(1, classes, torch.exp((nearest - 1) / _TEMPERATURE))
    return float((votes.argmax(dim=1).numpy() == labels).mean())


@dataclass(frozen=True)
class WatchedImages:
    """Images that are looked at during training, never trained on by label.

    Attributes:
        read: Image of a row, uint8 (3 or 4, H, W).
        rows: Rows, int64 (n,).
        labels: True classes of them for evaluation, int32 (n,), -1 where unknown; None where all are.
    """

    read: ReadImage
    rows: NDArray[np.int64]
    labels: NDArray[np.int32] | None


class Monitor:
    """Measures features of whole images, in evaluation mode.

    Args:
        train: Images that vote.
        val: Images that are scored, or None.
        size: Side that images are resized to, pixels.
        device: Device of the network.
        autocast: Context of the precision.
    """

    def __init__(
        self,
        train: WatchedImages,
        val: WatchedImages | None,
        size: int,
        device: torch.device,
        autocast: Callable[[], AbstractContextManager[Any]],
    ) -> None:
        self._train = train
        self._val = val
        self._size = size
        self._device = device
        self._autocast = autocast

    def __call__(self, network: PretrainedNetwork) -> dict[str, float]:
        """k-NN accuracy of the features as ``oracle_knn_acc``, where both splits have labels; else nothing."""
        train, val = self._train, self._val
        if val is None or val.labels is None or train.labels is None:
            return {}
        voting, scored = train.labels >= 0, val.labels >= 0
        if not voting.any() or not scored.any():
            return {}
        training = network.training
        network.eval()
        base = self._features(network, train.read, train.rows[voting])
        queries = self._features(network, val.read, val.rows[scored])
        network.train(training)
        return {"oracle_knn_acc": knn_accuracy(base, train.labels[voting], queries, val.labels[scored])}

    @torch.no_grad()
    def _features(self, network: PretrainedNetwork, read: ReadImage, rows: NDArray[np.int64]) -> Tensor:
        """Pooled features (n, C) of the images ``rows``, on the CPU."""
        features = []
        for first in range(0, len(rows), _BATCH):
            images = [_resized(read(int(row))[:3], self._size) for row in rows[first : first + _BATCH]]
            inputs = normalised(torch.stack(images).to(self._device).float() / 255)
            with self._autocast():
                _, feature, _ = network.encode(inputs.contiguous(memory_format=torch.channels_last))
            features.append(feature.float().cpu())
        return torch.cat(features)


def _resized(image: Tensor, size: int) -> Tensor:
    """uint8 (3, size, size), without regard to the ratio of the sides."""
    return F.interpolate(image[None], size=(size, size), mode="bilinear", antialias=True)[0]
