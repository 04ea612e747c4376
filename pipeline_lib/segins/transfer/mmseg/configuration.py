"""mmsegmentation's configuration of a linear layer on a dilated ResNet (thesis 4.3.3)."""

from __future__ import annotations

from pathlib import Path
from pprint import pformat
from typing import Any

from pipeline_lib.artifacts.checkpoint import Checkpoint
from pipeline_lib.artifacts.folder import write_atomically
from pipeline_lib.artifacts.objects import IGNORED
from pipeline_lib.base.errors import UserError
from pipeline_lib.segins.resnet.build import stage_channels
from pipeline_lib.segins.transfer.mmseg.voc_folder import IMAGES, LISTS, MAPS, VocFolder
from pipeline_lib.segins.transfer.segmentation.samples import LARGEST_CLASS_SHARE, SCALES
from pipeline_lib.segins.transfer.segmentation.training import LAST_RATE, MOMENTUM, POWER, WEIGHT_DECAY
from pipeline_lib.segins.transfer.settings import SegmentationSettings

_LONGEST_PER_SHORT_SIDE = 4
"""The longer side is limited to 2,048 for a shorter one of 512 in mmsegmentation's recipe for VOC."""

_CHECKPOINTS, _LOGGED = 10, 50


def mmseg_configuration(
    checkpoint: Checkpoint,
    settings: SegmentationSettings,
    data: VocFolder,
    weights: Path,
    *,
    frozen: bool,
    seed: int,
    workers: int,
) -> dict[str, Any]:
    """The configuration as nested mappings.

    The network is that of :mod:`pipeline_lib.segins.transfer.segmentation.model` for a ResNet-50. For smaller ones
    mmsegmentation dilates the first convolution of a block only, so that theirs differ.

    Args:
        checkpoint: Gives the architecture and the normalisation of the pixels.
        settings: The segmentation's settings; ``modes`` is not read.
        data: The images.
        weights: A file of :func:`pipeline_lib.segins.transfer.mmseg.weights.write_weights`.
        frozen: Train the linear layer only.
        seed: Seed of weights, order and crops.
        workers: Processes that decode.

    Returns:
        What :func:`write_configuration` writes.

    Raises:
        UserError: The settings have no shorter side, which mmsegmentation's recipe needs, or ask for what only this
            pipeline has.
    """
    for name, allowed in (("scaling", "none"), ("stage", "res5")):
        if getattr(settings, name) != allowed:
            raise UserError(
                f"segmentation.{name} = {getattr(settings, name)}: mmsegmentation trains on res5 as it is; "
                f"allowed here: {allowed}"
            )
    if settings.short_side is None:
        raise UserError(
            "segmentation.short_side = null: mmsegmentation resizes all images to one shorter side; give a number, "
            "for example -S segmentation.short_side=512"
        )
    return {
        "default_scope": "mmseg",
        "model": _model(checkpoint, settings, data, weights, frozen),
        **_loaders(settings, settings.short_side, data, workers),
        "test_evaluator": {"type": "IoUMetric", "iou_metrics": ["mIoU"]},
        **_schedule(settings),
        **_runtime(settings, seed),
    }


def _model(
    checkpoint: Checkpoint, settings: SegmentationSettings, data: VocFolder, weights: Path, frozen: bool
) -> dict[str, Any]:
    channels = stage_channels(checkpoint.architecture)["res5"]
    return {
        "type": "EncoderDecoder",
        "data_preprocessor": {
            "type": "SegDataPreProcessor",
            "mean": [255 * value for value in checkpoint.mean],
            "std": [255 * value for value in checkpoint.std],
            "bgr_to_rgb": True,
            "pad_val": 0,
            "seg_pad_val": IGNORED,
            "size": (settings.crop_size, settings.crop_size),
        },
        "backbone": {
            "type": "ResNet",
            "depth": int(checkpoint.architecture.removeprefix("resnet")),
            "num_stages": 4,
            "out_indices": (0, 1, 2, 3),
            "strides": (1, 2, 2, 1),
            "dilations": (1, 1, 1, 2),
            "contract_dilation": True,
            "style": "pytorch",
            "norm_cfg": {"type": "SyncBN", "requires_grad": True},
            "norm_eval": frozen,
            "frozen_stages": 4 if frozen else -1,
            "init_cfg": {"type": "Pretrained", "checkpoint": str(weights.absolute())},
        },
        "decode_head": {
            "type": "FCNHead",
            "in_channels": channels,
            "channels": channels,
            "in_index": 3,
            "num_convs": 0,
            "concat_input": False,
            "dropout_ratio": 0,
            "num_classes": len(data.classes),
            "align_corners": False,
            "ignore_index": IGNORED,
            "loss_decode": {"type": "CrossEntropyLoss", "use_sigmoid": False, "loss_weight": 1.0},
        },
        "train_cfg": {},
        "test_cfg": {"mode": "whole"},
    }


def _loaders(settings: SegmentationSettings, short_side: int, data: VocFolder, workers: int) -> dict[str, Any]:
    scale = (_LONGEST_PER_SHORT_SIDE * short_side, short_side)
    train: list[dict[str, Any]] = [
        {"type": "LoadImageFromFile"},
        {"type": "LoadAnnotations"},
        {"type": "RandomResize", "scale": scale, "ratio_range": SCALES, "keep_ratio": True},
        {
            "type": "RandomCrop",
            "crop_size": (settings.crop_size, settings.crop_size),
            "cat_max_ratio": LARGEST_CLASS_SHARE,
        },
        {"type": "RandomFlip", "prob": 0.5},
        {"type": "PhotoMetricDistortion"},
        {"type": "PackSegInputs"},
    ]
    # The maps are loaded after the resizing: predictions are compared at the images' own size.
    test: list[dict[str, Any]] = [
        {"type": "LoadImageFromFile"},
        {"type": "Resize", "scale": scale, "keep_ratio": True},
        {"type": "LoadAnnotations"},
        {"type": "PackSegInputs"},
    ]

    def loader(split: str, batch_size: int, sampler: dict[str, Any], pipeline: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "batch_size": batch_size,
            "num_workers": workers,
            "persistent_workers": workers > 0,
            "sampler": sampler,
            "dataset": {
                "type": "BaseSegDataset",
                "data_root": str(data.root.absolute()),
                "data_prefix": {"img_path": IMAGES, "seg_map_path": MAPS},
                "ann_file": f"{LISTS}/{split}.txt",
                "img_suffix": data.suffix,
                "seg_map_suffix": ".png",
                "metainfo": {"classes": data.classes},
                "pipeline": pipeline,
            },
        }

    return {
        "train_dataloader": loader("train", settings.batch_size, {"type": "InfiniteSampler", "shuffle": True}, train),
        "test_dataloader": loader("val", 1, {"type": "DefaultSampler", "shuffle": False}, test),
    }


def _schedule(settings: SegmentationSettings) -> dict[str, Any]:
    optimizer = {"type": "SGD", "lr": settings.learning_rate, "momentum": MOMENTUM, "weight_decay": WEIGHT_DECAY}
    decay = {
        "type": "PolyLR",
        "eta_min": LAST_RATE,
        "power": POWER,
        "begin": 0,
        "end": settings.iterations,
        "by_epoch": False,
    }
    return {
        "optim_wrapper": {"type": "OptimWrapper", "optimizer": optimizer, "clip_grad": None},
        "param_scheduler": [decay],
        "train_cfg": {"type": "IterBasedTrainLoop", "max_iters": settings.iterations},
        "test_cfg": {"type": "TestLoop"},
    }


def _runtime(settings: SegmentationSettings, seed: int) -> dict[str, Any]:
    interval = max(1, settings.iterations // _CHECKPOINTS)
    return {
        "default_hooks": {
            "timer": {"type": "IterTimerHook"},
            "logger": {"type": "LoggerHook", "interval": _LOGGED, "log_metric_by_epoch": False},
            "param_scheduler": {"type": "ParamSchedulerHook"},
            "checkpoint": {"type": "CheckpointHook", "by_epoch": False, "interval": interval, "max_keep_ckpts": 1},
            "sampler_seed": {"type": "DistSamplerSeedHook"},
        },
        "randomness": {"seed": seed},
        "log_processor": {"by_epoch": False},
        "log_level": "INFO",
    }


def write_configuration(path: Path, configuration: dict[str, Any]) -> None:
    """Write the configuration as a Python file, mmsegmentation's form: one assignment a key."""
    text = "\n".join(f"{key} = {pformat(value, width=110, sort_dicts=False)}" for key, value in configuration.items())
    write_atomically(path, text + "\n")
