"""Average precisions of detections by the metric that is asked for, and what that metric needs of a data set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from pipeline_lib.artifacts.detections import Detections
from pipeline_lib.artifacts.objects import Objects
from pipeline_lib.base.errors import UserError
from pipeline_lib.segins.transfer.detection.class_agnostic import without_classes
from pipeline_lib.segins.transfer.detection.coco_metric import coco_precision
from pipeline_lib.segins.transfer.detection.ground_truth import GroundTruth, read_ground_truth
from pipeline_lib.segins.transfer.detection.voc_metric import voc_precision
from pipeline_lib.segins.transfer.settings import DetectionSettings

_SECOND_OVERLAP = 5  # .75 among .50, .55, ...


@dataclass(frozen=True)
class Scores:
    """Average precisions in [0, 1].

    Attributes:
        metrics: ``ap`` (mean over overlaps .50 to .95), ``ap50``, ``ap75``; ``class_agnostic_`` and each, of objects
            and detections without their classes; ``mask_`` and each with masks.
        class_precision: ``ap`` of the boxes by class; ``None`` where the tested images have no object of the class.
    """

    metrics: dict[str, float]
    class_precision: dict[str, float | None]


def check_objects(objects: Objects, settings: DetectionSettings) -> None:
    """Refuse a data set that detection cannot be trained or evaluated on as the settings say.

    Raises:
        UserError: It has no boxes; masks are asked for and not every object has one; or VOC's metric is asked for
            and it has crowd regions, which that metric does not know.
    """
    objects.require("detection")
    if settings.masks and not objects.has_masks:
        raise UserError(
            f"detection.masks = true: not every object of {objects.folder} has a mask; use false or another data set"
        )
    if settings.metric != "coco" and objects.has_crowds:
        raise UserError(
            f"detection.metric = {settings.metric}: {objects.folder} has crowd regions, which VOC's metric does not "
            "know; use coco"
        )


def evaluate_detections(detections: Detections, objects: Objects, settings: DetectionSettings) -> Scores:
    """Compare detections with the objects of the tested images.

    Args:
        detections: What was found.
        objects: What is there.
        settings: Metric of the boxes; masks are always compared by COCO's.

    Returns:
        The scores; classes without objects in the tested images are left out of the means.

    Raises:
        UserError: The tested images have no object that counts.
    """
    classes = len(objects.class_names)
    truth = read_ground_truth(objects, detections.images, masks=settings.masks)
    boxes = _box_precision(detections, truth, classes, settings)
    if np.isnan(boxes).all():
        raise UserError(f"{objects.folder}: none of the {len(detections.images)} tested images has an object")
    metrics = _means(boxes, "")
    metrics |= _means(_box_precision(*without_classes(detections, truth), 1, settings), "class_agnostic_")
    if settings.masks:
        metrics |= _means(coco_precision(detections, truth, classes, "segm"), "mask_")
    by_class = [None if np.isnan(row).all() else float(row.mean()) for row in boxes]
    return Scores(metrics, dict(zip(objects.class_names, by_class, strict=True)))


def _box_precision(
    detections: Detections, truth: GroundTruth, classes: int, settings: DetectionSettings
) -> NDArray[np.float64]:
    match settings.metric:
        case "coco":
            return coco_precision(detections, truth, classes, "bbox")
        case "voc" | "voc_area":
            return voc_precision(detections, truth, classes, eleven_points=settings.metric == "voc")
        case _:
            assert_never(settings.metric)


def _means(precision: NDArray[np.float64], prefix: str) -> dict[str, float]:
    """Means over the classes that have objects, (classes, 10)."""
    present = precision[~np.isnan(precision).all(axis=1)]
    by_overlap = present.mean(axis=0) if len(present) else np.zeros(precision.shape[1])
    return {
        f"{prefix}ap": float(by_overlap.mean()),
        f"{prefix}ap50": float(by_overlap[0]),
        f"{prefix}ap75": float(by_overlap[_SECOND_OVERLAP]),
    }
