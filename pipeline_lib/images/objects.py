"""Writes the objects artifact that belongs to a prepared data set."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline_lib.artifacts.dataset import Dataset
from pipeline_lib.artifacts.objects import ObjectsWriter, encoded_png
from pipeline_lib.base.progress import progress
from pipeline_lib.images.sources.annotations import AnnotatedSource, Box, ImageAnnotation
from pipeline_lib.images.threads import map_in_order

_COUNTED = (
    "objects",
    "objects_with_mask",
    "difficult_objects",
    "crowds",
    "empty_boxes",
    "images_with_objects",
    "images_with_segmentation",
)


@dataclass(frozen=True)
class _Rows:
    """Rows of one image, and what the metrics count of it."""

    objects: list[dict[str, Any]]
    segmentation: dict[str, Any] | None
    shares: list[float]
    empty_boxes: int


def prepare_objects(
    annotated: AnnotatedSource, dataset: Dataset, out: Path, *, workers: int, made_by: Mapping[str, Any]
) -> dict[str, Any]:
    """Write the objects of the images that a prepared data set holds.

    Boxes are cut to their image; those with no area left are left out and counted.

    Args:
        annotated: The source that the data set was made of.
        dataset: The data set; its ids are positions in the source.
        out: Folder of the artifact.
        workers: Threads that decode and encode masks; the artifact does not depend on it.
        made_by: Stage, settings and seed.

    Returns:
        Metrics, JSON values: ``objects``, ``objects_with_mask``, ``difficult_objects``, ``crowds``, ``empty_boxes``
        (left out), ``images_with_objects``, ``images_with_segmentation``, ``mean_box_share`` (mean area of a box as a
        share of its image, null without objects). All are 0 for a source without objects.

    Raises:
        UserError: A map or mask of an image is damaged or does not fit it.
    """
    counts = dict.fromkeys(_COUNTED, 0)
    shares: list[float] = []
    read = annotated.annotation
    with ObjectsWriter(out, annotated.class_names, made_by) as writer:
        if read is not None:
            items = [(int(id), split) for split in dataset.splits for id in dataset.ids(split)]
            rows = map_in_order(lambda item: _rows(*item, read(item[0])), items, workers)
            for _, image in progress(rows, "objects", total=len(items), unit="image"):
                for row in image.objects:
                    writer.add_object(row)
                if image.segmentation is not None:
                    writer.add_segmentation(image.segmentation)
                _count(counts, image)
                shares += image.shares
    return {**counts, "mean_box_share": math.fsum(shares) / len(shares) if shares else None}


def _count(counts: dict[str, int], image: _Rows) -> None:
    counts["objects"] += len(image.objects)
    counts["objects_with_mask"] += sum(row["mask"] is not None for row in image.objects)
    counts["difficult_objects"] += sum(row["difficult"] for row in image.objects)
    counts["crowds"] += sum(row["crowd"] for row in image.objects)
    counts["empty_boxes"] += image.empty_boxes
    counts["images_with_objects"] += bool(image.objects)
    counts["images_with_segmentation"] += image.segmentation is not None


def _rows(id: int, split: str, image: ImageAnnotation) -> _Rows:
    height, width = image.size
    objects, shares = [], []
    for thing in image.objects:
        x0, y0, x1, y1 = _cut(thing.box, image.size)
        if x1 <= x0 or y1 <= y0:
            continue
        shares.append((x1 - x0) * (y1 - y0) / (height * width))
        sides = {"x0": x0, "y0": y0, "x1": x1, "y1": y1}
        facts = {"label": thing.label, "difficult": thing.difficult, "crowd": thing.crowd}
        mask = None if thing.mask is None else encoded_png(thing.mask)
        objects.append({"id": id, "split": split, **facts, **sides, "mask": mask})
    values = image.segmentation
    segmentation = None if values is None else {"id": id, "split": split, "map": encoded_png(values)}
    return _Rows(objects, segmentation, shares, len(image.objects) - len(objects))


def _cut(box: Box, size: tuple[int, int]) -> Box:
    height, width = size
    x0, y0, x1, y1 = box
    return max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height))
