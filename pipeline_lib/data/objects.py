"""Writes the objects artifact that belongs to a prepared data set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline_lib.artifacts.dataset import Dataset
from pipeline_lib.artifacts.objects import ObjectsWriter, encoded_png
from pipeline_lib.data.annotations import AnnotatedSource, Box, ImageAnnotation, ObjectAnnotation
from pipeline_lib.runtime import progress


class _Tally:
    """Counts what the metrics tell."""

    def __init__(self) -> None:
        self.objects = 0
        self.with_mask = 0
        self.difficult = 0
        self.crowd = 0
        self.empty_boxes = 0
        self.maps = 0
        self.with_objects = 0
        self.shares = 0.0

    def add(self, thing: ObjectAnnotation, share: float) -> None:
        """Count an object whose box is this share of its image."""
        self.objects += 1
        self.with_mask += thing.mask is not None
        self.difficult += thing.difficult
        self.crowd += thing.crowd
        self.shares += share

    def metrics(self) -> dict[str, Any]:
        """The metrics, see ``prepare_objects``."""
        return {
            "objects": self.objects,
            "objects_with_mask": self.with_mask,
            "difficult_objects": self.difficult,
            "crowds": self.crowd,
            "empty_boxes": self.empty_boxes,
            "images_with_objects": self.with_objects,
            "images_with_segmentation": self.maps,
            "mean_box_share": self.shares / self.objects if self.objects else None,
        }


def prepare_objects(
    annotated: AnnotatedSource, dataset: Dataset, out: Path, made_by: Mapping[str, Any]
) -> dict[str, Any]:
    """Write the objects of the images that a prepared data set holds.

    Boxes are cut to their image; those with no area left are left out and counted.

    Args:
        annotated: The source that the data set was made of.
        dataset: The data set; its ids are positions in the source.
        out: Folder of the artifact.
        made_by: Stage, settings and seed.

    Returns:
        Metrics, JSON values: ``objects``, ``objects_with_mask``, ``difficult_objects``, ``crowds``, ``empty_boxes``
        (left out), ``images_with_objects``, ``images_with_segmentation``, ``mean_box_share`` (mean area of a box as a
        share of its image, null without objects). All are 0 for a source without objects.

    Raises:
        UserError: A map or mask of an image is damaged or does not fit it.
    """
    tally = _Tally()
    with ObjectsWriter(out, annotated.class_names, made_by) as writer:
        if annotated.annotation is not None:
            items = [(int(id), split) for split in dataset.splits for id in dataset.ids(split)]
            for id, split in progress(items, "objects", unit="image"):
                _write_image(writer, tally, id, split, annotated.annotation(id))
    return tally.metrics()


def _write_image(writer: ObjectsWriter, tally: _Tally, id: int, split: str, image: ImageAnnotation) -> None:
    height, width = image.size
    before = tally.objects
    for thing in image.objects:
        x0, y0, x1, y1 = _cut(thing.box, image.size)
        if x1 <= x0 or y1 <= y0:
            tally.empty_boxes += 1
            continue
        tally.add(thing, (x1 - x0) * (y1 - y0) / (height * width))
        sides = {"x0": x0, "y0": y0, "x1": x1, "y1": y1}
        facts = {"label": thing.label, "difficult": thing.difficult, "crowd": thing.crowd}
        mask = None if thing.mask is None else encoded_png(thing.mask)
        writer.add_object({"id": id, "split": split, **facts, **sides, "mask": mask})
    tally.with_objects += tally.objects > before
    if image.segmentation is not None:
        tally.maps += 1
        writer.add_segmentation({"id": id, "split": split, "map": encoded_png(np.asarray(image.segmentation))})


def _cut(box: Box, size: tuple[int, int]) -> Box:
    height, width = size
    x0, y0, x1, y1 = box
    return max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height))
