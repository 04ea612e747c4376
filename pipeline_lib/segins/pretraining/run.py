"""Puts a pretraining together: images, views, method, monitor and loop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from lightning_fabric import Fabric
from torch import Tensor

from pipeline_lib.artifacts.dataset import Dataset
from pipeline_lib.artifacts.masks import Masks
from pipeline_lib.segins.pretraining.batches import BatchOrder
from pipeline_lib.segins.pretraining.images import Decode, ImageStore, SplitImages
from pipeline_lib.segins.pretraining.method import Method, Segmentation, Setup
from pipeline_lib.segins.pretraining.methods import METHODS, MethodSettings
from pipeline_lib.segins.pretraining.monitor import Monitor, WatchedImages
from pipeline_lib.segins.pretraining.settings import PretrainSettings, SegInsSettings
from pipeline_lib.segins.pretraining.training import Pretrainer
from pipeline_lib.segins.pretraining.views import ViewMaker
from pipeline_lib.segins.resnet.build import STRIDES

_UPSAMPLING = 2


def branch_side(global_size: int, stage: str) -> int:
    """Side of the branch's output for views of ``global_size`` pixels: 28 at 224 pixels from res4."""
    return _UPSAMPLING * -(-global_size // STRIDES[stage])


def build_method(
    fabric: Fabric,
    settings: PretrainSettings,
    name: str,
    own: MethodSettings,
    segins: SegInsSettings | None,
    seed: int,
) -> Method[Any]:
    """A pretraining method with random weights.

    Args:
        fabric: A launched Fabric.
        settings: Settings of pretraining.
        name: Name of the method.
        own: Settings of the method.
        segins: Settings of the segmentation branch; None: the baseline.
        seed: Seed of what the method draws.

    Returns:
        The method.

    Raises:
        UserError: There is no such method, or sizes do not fit it.
    """
    method: type[Method[Any]] = METHODS[name].method
    setup = Setup(
        architecture=settings.architecture,
        stage="res4" if segins is None else segins.stage,
        segmentation=None if segins is None else Segmentation(segins.weight_for(name), segins.loss),
        device=fabric.device,
        autocast=fabric.autocast,
        batch_size=settings.batch_size,
        accumulate=settings.accumulate,
        processes=fabric.world_size,
        seed=seed,
    )
    method.check(setup, own)
    return method(setup, own)


def build_pretrainer(
    fabric: Fabric,
    settings: PretrainSettings,
    name: str,
    own: MethodSettings,
    segins: SegInsSettings | None,
    dataset: Dataset,
    masks: Masks | None,
    decode: Decode,
    seed: int,
    memory: int,
    workers: int,
) -> Pretrainer:
    """A pretraining of a data set, ready to run.

    Args:
        fabric: A launched Fabric.
        settings: Settings of pretraining.
        name: Name of the method.
        own: Settings of the method.
        segins: Settings of the segmentation branch; None: the baseline.
        dataset: The images.
        masks: Pseudo-masks of its training images; None for the baseline.
        decode: From encoded bytes or a path, and the image's name, to an RGB image.
        seed: Seed of weights, order and views.
        memory: Bytes of decoded images that are kept.
        workers: Processes that decode and crop; 0: this one does.

    Returns:
        The pretraining.

    Raises:
        UserError: The batch does not fit the images or the method.
    """
    train = dataset.splits.get("train", 0)
    batches = BatchOrder(train, settings.batch_size, settings.accumulate, seed, fabric.global_rank, fabric.world_size)
    method = build_method(fabric, settings, name, own, segins, seed)
    store = ImageStore(
        train,
        SplitImages(dataset, "train", decode),
        None if masks is None else masks.mask,
        memory,
    )
    store.fill()
    side = None if segins is None else branch_side(settings.global_size, segins.stage)
    maker = ViewMaker(store, settings, side, seed)
    monitor = _monitor(fabric, settings, dataset, store, decode, workers)
    return Pretrainer(fabric, method, settings, own, maker, batches, monitor, workers)


def _monitor(
    fabric: Fabric, settings: PretrainSettings, dataset: Dataset, store: ImageStore, decode: Decode, workers: int
) -> Monitor:
    # Spread over the split: a source may be sorted by class.
    rows = np.unique(np.linspace(0, store.count - 1, min(settings.monitor_images, store.count)).astype(np.int64))
    labels = dataset.oracle_labels("train")
    watched = WatchedImages(store, rows, None if labels is None else labels[rows])
    scored = None
    if dataset.splits.get("val"):
        images = ImageStore(
            dataset.splits["val"],
            SplitImages(dataset, "val", decode),
            None,
            0,
        )
        count = min(settings.monitor_images, images.count)
        val_rows = np.unique(np.linspace(0, images.count - 1, count).astype(np.int64))
        val_labels = dataset.oracle_labels("val")
        scored = WatchedImages(images, val_rows, None if val_labels is None else val_labels[val_rows])
    return Monitor(watched, scored, settings.global_size, fabric.device, fabric.autocast, workers)


def trained_weights(method: Method[Any]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Backbone and projector of a method, without their predictor and branch."""
    network = method.network
    return network.backbone.state_dict(), network.projector.state_dict()


def final_metrics(history: list[dict[str, Any]]) -> Mapping[str, Any]:
    """The last look's measures, for the metrics file."""
    last = dict(history[-1])
    return {"epochs": last.pop("epoch"), **last}
