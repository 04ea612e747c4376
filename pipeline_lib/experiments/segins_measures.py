"""Measures of the SegIns chain: what they are called, and in which metric file each stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pipeline_lib.segins.pretraining import methods as pretraining

METHODS = {name: method.title for name, method in pretraining.METHODS.items()}
"""Pretraining methods, with what they are called in tables."""

ANY_METRIC = ("mask_", "class_agnostic_")
"""Starts of the names of detection measures that are called alike with every metric of the boxes."""

_COCO = "coco_"


@dataclass(frozen=True)
class Measure:
    """One measure.

    Attributes:
        title: Heading in tables.
        stage: Stage that writes it.
        key: Dotted key in the stage's metric file.
        share: Whether it is a share, which tables show in percent.
    """

    title: str
    stage: Literal["linear_eval", "detection", "segmentation", "masks", "pretrain"]
    key: str
    share: bool = True


MEASURES = {
    "top1": Measure("top-1", "linear_eval", "top1"),
    "top5": Measure("top-5", "linear_eval", "top5"),
    "knn_acc": Measure("k-NN", "linear_eval", "knn_acc"),
    "ap50": Measure("AP50", "detection", "ap50"),
    "ap": Measure("AP", "detection", "ap"),
    "ap75": Measure("AP75", "detection", "ap75"),
    "class_agnostic_ap50": Measure("class-agnostic AP50", "detection", "class_agnostic_ap50"),
    "class_agnostic_ap": Measure("class-agnostic AP", "detection", "class_agnostic_ap"),
    "class_agnostic_ap75": Measure("class-agnostic AP75", "detection", "class_agnostic_ap75"),
    "coco_ap50": Measure("AP50 box", "detection", "ap50"),
    "coco_ap": Measure("AP box", "detection", "ap"),
    "coco_ap75": Measure("AP75 box", "detection", "ap75"),
    "mask_ap50": Measure("AP50 mask", "detection", "mask_ap50"),
    "mask_ap": Measure("AP mask", "detection", "mask_ap"),
    "mask_ap75": Measure("AP75 mask", "detection", "mask_ap75"),
    "frozen_miou": Measure("mIoU frozen", "segmentation", "frozen_miou"),
    "frozen_foreground_iou": Measure("foreground IoU frozen", "segmentation", "frozen_foreground_iou"),
    "fine_tuned_miou": Measure("mIoU fine-tuned", "segmentation", "fine_tuned_miou"),
    "pseudo_mask_iou": Measure("IoU with true masks", "masks", "pseudo.iou_with_masks"),
    "pseudo_mask_corloc": Measure("CorLoc", "masks", "pseudo.corloc"),
    "foreground_share": Measure("foreground", "masks", "foreground_share"),
    "oracle_knn_acc": Measure("k-NN at the end", "pretrain", "oracle_knn_acc"),
    "embedding_std": Measure("spread of embeddings", "pretrain", "embedding_std", share=False),
    "id_loss": Measure("id loss", "pretrain", "id_loss", share=False),
    "seg_loss": Measure("seg loss", "pretrain", "seg_loss", share=False),
}
"""By name. Box measures are ``coco_…`` where COCO's metric is used, else those of PASCAL VOC (Tables 4.3 and 4.4)."""


def start_title(start: str) -> str:
    """What a start is called in tables: ``moco-segins`` is SegIns (MoCo-V2)."""
    method, _, kind = start.partition("-")
    if method in METHODS and kind == "baseline":
        return METHODS[method]
    if method in METHODS and kind == "segins":
        return f"SegIns ({METHODS[method]})"
    return start


def metric_file(measure: str, data: str, start: str, target: str) -> Path | None:
    """Metric file with a measure of a start.

    Args:
        measure: Name of the measure.
        data: Data set of the pretraining.
        start: Start, such as ``moco-segins``.
        target: Data set transferred to.

    Returns:
        Path below the root, or ``None`` where the start has no such measure: only SegIns has masks, and what is not
        pretrained here has no pretraining.
    """
    stage = MEASURES[measure].stage
    method, _, kind = start.partition("-")
    pretrained = method in METHODS and kind in ("baseline", "segins")
    if stage == "linear_eval":
        name = f"{stage}-{start}"
    elif stage in ("detection", "segmentation"):
        name = f"{stage}-{start}-{target}"
    elif stage == "masks" and pretrained and kind == "segins":
        name = f"masks-{method}"
    elif stage == "pretrain" and pretrained:
        name = f"pretrain_{kind}-{method}"
    else:
        return None
    return Path("metrics") / "segins" / data / f"{name}.json"


def applies(measure: str, detection_metric: str) -> bool:
    """Whether a measure is one of the metric that detections are scored with (``detection.metric``)."""
    if MEASURES[measure].stage != "detection" or measure.startswith(ANY_METRIC):
        return True
    return measure.startswith(_COCO) == (detection_metric == "coco")


def value_of(measure: str, values: Mapping[str, Any]) -> float | None:
    """A measure's value in the content of its metric file, or ``None`` where it is not there."""
    found: Any = values
    for part in MEASURES[measure].key.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return None if found is None or isinstance(found, bool | str) else float(found)
