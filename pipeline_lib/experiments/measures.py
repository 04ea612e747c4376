"""Measures of both chains: what they are called, and in which metric file each stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from pipeline_lib.base.settings import Settings
from pipeline_lib.base.yaml_files import unknown_name
from pipeline_lib.segins.pretraining import methods as pretraining

METHODS = {name: method.title for name, method in pretraining.METHODS.items()}
"""Pretraining methods, with what they are called in tables."""

EVALUATIONS = ("linear_eval", "detection", "segmentation", "dense_probe")
"""Metric files of the evaluations of a checkpoint."""

ANY_METRIC = ("mask_", "class_agnostic_")
"""Starts of the names of detection measures that are called alike with every metric of the boxes."""

_COCO = "coco_"
_SEGINS_ONLY = ("masks", "pretrain_segins")


@dataclass(frozen=True)
class Measure:
    """One measure.

    Attributes:
        title: Heading in tables.
        metrics: Metrics ``FILE.KEY`` with its value, of which the first that is there counts; none where the groups of
            ``conf/experiments.yaml`` name them.
        share: Whether it is a share, which tables show in percent.
        digits: Decimal places in tables; a count has none and no deviation.
    """

    title: str
    metrics: tuple[str, ...] = ()
    share: bool = True
    digits: int = 2

    @property
    def heading(self) -> str:
        """Title with the unit."""
        return f"{self.title} (%)" if self.share else self.title

    @property
    def factor(self) -> float:
        """What a metric is multiplied by in tables."""
        return 100.0 if self.share else 1.0


def _of_pretraining(title: str, key: str, *, share: bool = False) -> Measure:
    return Measure(title, (f"pretrain_segins.{key}", f"pretrain_baseline.{key}"), share, 2 if share else 3)


MEASURES = {
    "nmi": Measure("NMI"),
    "acc": Measure("ACC"),
    "balanced_acc": Measure("balanced ACC"),
    "ari": Measure("ARI"),
    "nn_acc": Measure("NN ACC"),
    "nn_count": Measure("neighbours an image", share=False, digits=1),
    "train_images": Measure("train images", share=False, digits=0),
    "val_images": Measure("val images", share=False, digits=0),
    "classes": Measure("classes", share=False, digits=0),
    "train_kl_to_uniform": Measure("KL on train", share=False, digits=4),
    "val_kl_to_uniform": Measure("KL on val", share=False, digits=4),
    "top1": Measure("top-1", ("linear_eval.top1",)),
    "top5": Measure("top-5", ("linear_eval.top5",)),
    "ridge_acc": Measure("ridge probe", ("linear_eval.ridge_acc",)),
    "knn_acc": Measure("k-NN", ("linear_eval.knn_acc",)),
    "linear_probe_acc": Measure("linear probe"),
    "ap50": Measure("AP50", ("detection.ap50",)),
    "ap": Measure("AP", ("detection.ap",)),
    "ap75": Measure("AP75", ("detection.ap75",)),
    "class_agnostic_ap50": Measure("class-agnostic AP50", ("detection.class_agnostic_ap50",)),
    "class_agnostic_ap": Measure("class-agnostic AP", ("detection.class_agnostic_ap",)),
    "class_agnostic_ap75": Measure("class-agnostic AP75", ("detection.class_agnostic_ap75",)),
    "coco_ap50": Measure("AP50 box", ("detection.ap50",)),
    "coco_ap": Measure("AP box", ("detection.ap",)),
    "coco_ap75": Measure("AP75 box", ("detection.ap75",)),
    "mask_ap50": Measure("AP50 mask", ("detection.mask_ap50",)),
    "mask_ap": Measure("AP mask", ("detection.mask_ap",)),
    "mask_ap75": Measure("AP75 mask", ("detection.mask_ap75",)),
    "frozen_miou": Measure("mIoU frozen", ("segmentation.frozen_miou",)),
    "dense_probe_pixel_ap": Measure("pixel AP, res3 to res5", ("dense_probe.pixel_ap",)),
    "dense_probe_iou": Measure("IoU, res3 to res5", ("dense_probe.iou",)),
    "dense_probe_deep_pixel_ap": Measure("pixel AP, res4 and res5", ("dense_probe.deep_pixel_ap",)),
    "dense_probe_deep_iou": Measure("IoU, res4 and res5", ("dense_probe.deep_iou",)),
    "fine_tuned_miou": Measure("mIoU fine-tuned", ("segmentation.fine_tuned_miou",)),
    "pseudo_mask_iou": Measure("IoU with true masks", ("masks.pseudo.iou_with_masks",)),
    "pseudo_mask_corloc": Measure("CorLoc", ("masks.pseudo.corloc",)),
    "foreground_share": Measure("foreground", ("masks.foreground_share",)),
    "oracle_knn_acc": _of_pretraining("k-NN at the end", "oracle_knn_acc", share=True),
    "embedding_std": _of_pretraining("spread of embeddings", "embedding_std"),
    "id_loss": _of_pretraining("id loss", "id_loss"),
    "seg_loss": _of_pretraining("seg loss", "seg_loss"),
}
"""By name. Box measures are ``coco_…`` where COCO's metric is used, else those of PASCAL VOC (Tables 4.3 and 4.4)."""


class Group(Settings):
    """Measures that are shown together.

    Attributes:
        title: Heading.
        variant: What the published values call it.
        measures: By measure, the metric ``FILE.KEY`` with its value, or several of which the first that is there
            counts. ``{KEY}`` in it stands for the row's setting of that key.
        spread: By measure, the metric with its deviation over the heads.
        run: ``mean`` over the seeds, or ``best``: the seed with the best accuracy by labels.
    """

    title: str
    variant: str = "best_head"
    measures: dict[str, str | Annotated[tuple[str, ...], Field(strict=False, min_length=1)]]
    spread: dict[str, str] = Field(default_factory=dict)
    run: Literal["mean", "best"] = "mean"

    @model_validator(mode="after")
    def _measures_are_known(self) -> Self:
        for measure in self.measures:
            if measure not in MEASURES:
                raise ValueError(f"measures: {measure}: {unknown_name(measure, MEASURES)}")
        return self

    def metrics(self, measure: str, settings: Mapping[str, Any]) -> tuple[str, ...]:
        """Metrics that may hold ``measure``, in the order in which they count."""
        named = self.measures[measure]
        keys = (named,) if isinstance(named, str) else named
        return tuple(_filled(key, settings) for key in keys)


def _filled(key: str, settings: Mapping[str, Any]) -> str:
    for name, value in settings.items():
        key = key.replace("{" + name + "}", str(value))
    return key


def file_of(metric: str) -> str:
    """Name of the metric file of a metric ``FILE.KEY``."""
    return metric.split(".")[0]


def start_title(start: str) -> str:
    """What a start is called in tables: ``moco-segins`` is SegIns (MoCo-V2)."""
    method, kind = pretraining_of(start)
    return start if not method else METHODS[method] if kind == "baseline" else f"SegIns ({METHODS[method]})"


def pretraining_of(start: str) -> tuple[str, str]:
    """Method and kind, ``baseline`` or ``segins``, of a start that is pretrained here; empty for any other."""
    method, _, kind = start.partition("-")
    return (method, kind) if method in METHODS and kind in ("baseline", "segins") else ("", "")


def has_file(start: str, file: str) -> bool:
    """Whether a start has a metric file: only SegIns has masks, and what is not pretrained here no pretraining."""
    kind = pretraining_of(start)[1]
    return kind == "segins" if file in _SEGINS_ONLY else bool(kind) or file != "pretrain_baseline"


def applies(measure: str, detection_metric: str) -> bool:
    """Whether a measure is one of the metric that detections are scored with (``detection.metric``)."""
    of_boxes = any(file_of(metric) == "detection" for metric in MEASURES[measure].metrics)
    if not of_boxes or measure.startswith(ANY_METRIC):
        return True
    return measure.startswith(_COCO) == (detection_metric == "coco")
