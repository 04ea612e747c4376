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

from pipeline_lib.features.blocks import ArrayFeatures
from pipeline_lib.features.knn_vote import knn_classes
from pipeline_lib.segins.pretraining.colour import normalised
from pipeline_lib.segins.pretraining.network import PretrainedNetwork
from pipeline_lib.segins.pretraining.views import ReadImage

_BATCH = 128


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
        found = knn_classes(base, train.labels[voting], queries)
        return {"oracle_knn_acc": float((found == val.labels[scored]).mean())}

    @torch.no_grad()
    def _features(self, network: PretrainedNetwork, read: ReadImage, rows: NDArray[np.int64]) -> ArrayFeatures:
        """Pooled features of the images ``rows``, n rows and C columns."""
        features = []
        for first in range(0, len(rows), _BATCH):
            images = [_resized(read(int(row))[:3], self._size) for row in rows[first : first + _BATCH]]
            inputs = normalised(torch.stack(images).to(self._device).float() / 255)
            with self._autocast():
                _, feature, _ = network.encode(inputs.contiguous(memory_format=torch.channels_last))
            features.append(feature.float().cpu())
        return ArrayFeatures(torch.cat(features).numpy())


def _resized(image: Tensor, size: int) -> Tensor:
    """uint8 (3, size, size), without regard to the ratio of the sides."""
    return F.interpolate(image[None], size=(size, size), mode="bilinear", antialias=True)[0]
