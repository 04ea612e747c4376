"""Watches pretraining by the k-NN accuracy of its features, where labels exist; for evaluation only.

A look must cost little beside training. It decodes each of its images once and puts one view of it through the network
forwards; training decodes each image once an epoch, too, and puts two views of it or more forwards and backwards, which
costs three times as much. With v voting and q scored of n training images, every e epochs, looks have a share of

    (v + q) / (e n)        of what is decoded, and
    (v + q) / (e n) / 6    of what is computed,

where both are spread over processes and workers alike. At the size of ImageNet-100 (n = 126,689, q = 5,000) with
``monitor_images`` = 20,000 (so v = 20,000) and ``monitor_every`` = 10 these are 25,000 / 1,266,890 = 1.97 % of what is
decoded and 0.33 % of what is computed; with ``monitor_images`` = 10,000, 1.2 % and 0.2 %. The search compares q with v
features: 20,000 x 5,000 x 2,048 products, as many as a ResNet-50 has for 50 images; processes share what is scored.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from pipeline_lib.base.errors import UserError
from pipeline_lib.base.gathering import gathered_rows
from pipeline_lib.base.runtime import all_reduce, block_of_rank, is_distributed
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
        workers: Processes that decode; 0: this one does.
    """

    def __init__(
        self,
        train: WatchedImages,
        val: WatchedImages | None,
        size: int,
        device: torch.device,
        autocast: Callable[[], AbstractContextManager[Any]],
        workers: int = 0,
    ) -> None:
        self._train = train
        self._val = val
        self._size = size
        self._device = device
        self._autocast = autocast
        self._workers = workers

    def __call__(self, network: PretrainedNetwork) -> dict[str, float]:
        """k-NN accuracy of the features as ``oracle_knn_acc``, where both splits have labels; else nothing.

        Processes share the images, and all get the same number.
        """
        train, val = self._train, self._val
        if val is None or val.labels is None or train.labels is None:
            return {}
        voting, scored = train.labels >= 0, val.labels >= 0
        if not voting.any() or not scored.any():
            return {}
        training = network.training
        network.eval()
        base = gathered_rows(self._features(network, train.read, train.rows[voting])).cpu()
        queries = self._features(network, val.read, val.rows[scored]).cpu()
        network.train(training)
        right = 0
        if len(queries):
            own = _own(val.labels[scored])
            found = knn_classes(ArrayFeatures(base.numpy()), train.labels[voting], ArrayFeatures(queries.numpy()))
            right = int((found == own).sum())
        total = all_reduce(torch.tensor(right, device=self._device))
        return {"oracle_knn_acc": int(total) / int(scored.sum())}

    @torch.no_grad()
    def _features(self, network: PretrainedNetwork, read: ReadImage, rows: NDArray[np.int64]) -> Tensor:
        """Pooled features of this process' share of the images ``rows``, float32 (n, C), on the device."""
        own = _own(rows)
        # One image tells the number of columns where a process has none of its own.
        seen = own if len(own) else rows[:1]
        loader: DataLoader[Tensor | UserError] = DataLoader(
            _WholeImages(read, seen, self._size),
            batch_size=_BATCH,
            num_workers=min(self._workers, len(seen)),
            collate_fn=_stacked,
            pin_memory=self._device.type == "cuda",
        )
        features = []
        for images in loader:
            if isinstance(images, UserError):
                raise images
            inputs = normalised(images.to(self._device, non_blocking=True).float() / 255)
            with self._autocast():
                _, feature, _ = network.encode(inputs.contiguous(memory_format=torch.channels_last))
            features.append(feature.float())
        return torch.cat(features)[: len(own)]


class _WholeImages(Dataset[Tensor | UserError]):
    """Images of rows, uint8 (3, size, size); an unreadable one comes as its error."""

    def __init__(self, read: ReadImage, rows: NDArray[np.int64], size: int) -> None:
        self._read, self._rows, self._size = read, rows, size

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, number: int) -> Tensor | UserError:
        try:
            return _resized(self._read(int(self._rows[number]))[:3], self._size)
        except UserError as error:
            # Raised in a worker, it would arrive with the worker's traceback as its text.
            return error


def _stacked(images: list[Tensor | UserError]) -> Tensor | UserError:
    wrong = [image for image in images if isinstance(image, UserError)]
    return wrong[0] if wrong else torch.stack([image for image in images if isinstance(image, Tensor)])


def _own(rows: NDArray[Any]) -> NDArray[Any]:
    """This process' share of rows, in their order."""
    if not is_distributed():
        return rows
    own = block_of_rank(len(rows), dist.get_rank(), dist.get_world_size())
    return rows[own.start : own.stop]


def _resized(image: Tensor, size: int) -> Tensor:
    """uint8 (3, size, size), without regard to the ratio of the sides."""
    return F.interpolate(image[None], size=(size, size), mode="bilinear", antialias=True)[0]
