"""Watches pretraining: whether embeddings collapse, and k-NN accuracy where labels exist."""

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

from pipeline_lib.pretraining.colour import normalised
from pipeline_lib.pretraining.network import PretrainedNetwork
from pipeline_lib.pretraining.views import ReadImage

COLLAPSED_BELOW = 0.1
"""Embedding spread under which a run counts as collapsed: 1 is that of directions spread evenly."""

_NEIGHBORS = 20
_TEMPERATURE = 0.07
_BATCH = 128


def embedding_spread(embeddings: Tensor) -> float:
    """Mean standard deviation of the unit embeddings' components, times the root of their number (SimSiam, 4.1).

    Args:
        embeddings: Float (N, D).

    Returns:
        0 where all point the same way, about 1 where they point in all directions evenly.
    """
    unit = F.normalize(embeddings.double(), dim=1)
    return float(unit.std(dim=0, correction=0).mean() * embeddings.shape[1] ** 0.5)


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
    """Measures embeddings of whole images, in evaluation mode.

    Args:
        train: Images that vote; embeddings are watched on them.
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
        """Spread of the embeddings, and k-NN accuracy of the features where both splits have labels."""
        training = network.training
        network.eval()
        embeddings, features = self._encoded(network, self._train)
        found = {"embedding_std": embedding_spread(embeddings)}
        val = self._val
        if val is not None and val.labels is not None and self._train.labels is not None:
            scored, voting = val.labels >= 0, self._train.labels >= 0
            if scored.any() and voting.any():
                _, queries = self._encoded(network, val)
                base, classes = features[torch.from_numpy(voting)], self._train.labels[voting]
                found["oracle_knn_acc"] = knn_accuracy(
                    base, classes, queries[torch.from_numpy(scored)], val.labels[scored]
                )
        network.train(training)
        return found

    @torch.no_grad()
    def _encoded(self, network: PretrainedNetwork, images: WatchedImages) -> tuple[Tensor, Tensor]:
        """Embeddings (n, D) and pooled features (n, C), on the CPU."""
        embeddings, features = [], []
        for first in range(0, len(images.rows), _BATCH):
            rows = images.rows[first : first + _BATCH]
            batch = torch.stack([_resized(images.read(int(row))[:3], self._size) for row in rows]).to(self._device)
            inputs = normalised(batch.float() / 255).contiguous(memory_format=torch.channels_last)
            with self._autocast():
                embedding, feature, _ = network.encode(inputs)
            embeddings.append(embedding.float().cpu())
            features.append(feature.float().cpu())
        return torch.cat(embeddings), torch.cat(features)


def _resized(image: Tensor, size: int) -> Tensor:
    """uint8 (3, size, size), without regard to the ratio of the sides."""
    return F.interpolate(image[None], size=(size, size), mode="bilinear", antialias=True)[0]
