"""Detectron2's configuration of a C4 detector with MoCo's settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from pipeline_lib.artifacts.checkpoint import Checkpoint
from pipeline_lib.segins.transfer.settings import DetectionSettings

HEADS = "Res5ROIHeadsExtraNorm"
"""Name under which :mod:`pipeline_lib.segins.transfer.detectron2.trainer` registers these heads."""

_VOC = (["voc_2007_trainval", "voc_2012_trainval"], ["voc_2007_test"], 20)
_SETS = {
    "voc": _VOC,
    "voc_area": _VOC,
    "coco": (["coco_2017_train"], ["coco_2017_val"], 80),
}


def detectron2_configuration(
    checkpoint: Checkpoint, settings: DetectionSettings, weights: str, seed: int
) -> dict[str, Any]:
    """The configuration as nested mappings.

    Args:
        checkpoint: Gives the normalisation of the pixels.
        settings: The detection's settings; ``metric`` decides between VOC 07+12 and COCO 2017.
        weights: File of the weights.
        seed: Seed of the training.

    Returns:
        What detectron2's ``merge_from_file`` reads.
    """
    train, test, classes = _SETS[settings.metric]
    return {
        "VERSION": 2,
        "MODEL": _model(checkpoint, settings, weights, classes),
        "INPUT": {
            "FORMAT": "RGB",
            "MIN_SIZE_TRAIN": list(settings.short_sides),
            "MIN_SIZE_TEST": settings.short_sides[-1],
            "MAX_SIZE_TRAIN": settings.longest_side,
            "MAX_SIZE_TEST": settings.longest_side,
        },
        "DATASETS": {"TRAIN": train, "TEST": test},
        "SOLVER": _solver(settings),
        "TEST": {
            "DETECTIONS_PER_IMAGE": settings.detections,
            "PRECISE_BN": {"ENABLED": settings.precise_batches > 0, "NUM_ITER": settings.precise_batches},
        },
        "SEED": seed,
    }


def _model(checkpoint: Checkpoint, settings: DetectionSettings, weights: str, classes: int) -> dict[str, Any]:
    return {
        "META_ARCHITECTURE": "GeneralizedRCNN",
        "WEIGHTS": weights,
        "MASK_ON": settings.masks,
        "PIXEL_MEAN": [round(value * 255, 3) for value in checkpoint.mean],
        "PIXEL_STD": [round(value * 255, 3) for value in checkpoint.std],
        "BACKBONE": {"FREEZE_AT": 0},
        "RESNETS": {"DEPTH": 50, "NORM": "SyncBN", "STRIDE_IN_1X1": False},
        "ANCHOR_GENERATOR": {"SIZES": [list(settings.anchor_sizes)]},
        "RPN": {
            "BATCH_SIZE_PER_IMAGE": settings.anchors,
            "PRE_NMS_TOPK_TRAIN": 6 * settings.training_proposals,
            "POST_NMS_TOPK_TRAIN": settings.training_proposals,
            "PRE_NMS_TOPK_TEST": 6 * settings.proposals,
            "POST_NMS_TOPK_TEST": settings.proposals,
        },
        "ROI_HEADS": {
            "NAME": HEADS,
            "NUM_CLASSES": classes,
            "BATCH_SIZE_PER_IMAGE": settings.rois,
            "SCORE_THRESH_TEST": settings.score_threshold,
        },
        "ROI_BOX_HEAD": {"POOLER_RESOLUTION": settings.region_size},
        "ROI_MASK_HEAD": {
            "NAME": "MaskRCNNConvUpsampleHead",
            "NUM_CONV": 0,
            "POOLER_RESOLUTION": settings.region_size,
        },
    }


def _solver(settings: DetectionSettings) -> dict[str, Any]:
    return {
        "IMS_PER_BATCH": settings.batch_size,
        "BASE_LR": settings.learning_rate,
        "MAX_ITER": settings.iterations,
        "STEPS": [round(share * settings.iterations) for share in settings.milestones],
        "WARMUP_ITERS": settings.warmup,
        "WARMUP_FACTOR": 0.001,
        "WEIGHT_DECAY": 0.0001,
        "WEIGHT_DECAY_NORM": 0.0,
    }


def write_configuration(path: Path, configuration: dict[str, Any]) -> None:
    """Write the configuration as YAML."""
    writer = YAML(typ="safe", pure=True)
    writer.default_flow_style = None
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as stream:
        writer.dump(configuration, stream)
