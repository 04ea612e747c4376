"""Pictures that compare what detectors and segmenters from several starts say of the same images (Figure 4.1)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline_lib.artifacts.detections import DetectionRun
from pipeline_lib.artifacts.objects import Objects
from pipeline_lib.artifacts.segmentations import Segmentations
from pipeline_lib.experiments.measures import start_title
from pipeline_lib.reports.segins.pictures import (
    DRAWN,
    SHOWN,
    Boxes,
    boxes_tile,
    classes_tile,
    write_comparison,
)

Read = Callable[[int], Image.Image]


def spread(ids: Sequence[int]) -> list[int]:
    """Up to ``SHOWN`` ids, evenly from all."""
    if not ids:
        return []
    places = np.unique(np.linspace(0, len(ids) - 1, min(len(ids), SHOWN)).round().astype(np.int64))
    return [int(ids[place]) for place in places.tolist()]


def write_detections(path: Path, runs: Mapping[str, DetectionRun], objects: Objects, read: Read) -> None:
    """Draw each image's ``DRAWN`` surest detections beside the truth.

    Args:
        path: The PNG file.
        runs: Detections by start, at least one.
        objects: The truth.
        read: An image by its id.
    """
    names = next(iter(runs.values())).class_names
    found = {start: run.detections() for start, run in runs.items()}
    ids = spread(next(iter(found.values())).images.tolist())
    columns: dict[str, list[Image.Image]] = {}
    for start, detections in found.items():
        columns[start_title(start)] = []
        for image_id in ids:
            rows = detections.rows(image_id)[:DRAWN].tolist()
            labels = [int(detections.labels[row]) for row in rows]
            texts = tuple(
                f"{names[label]} {detections.scores[row]:.2f}" for row, label in zip(rows, labels, strict=True)
            )
            columns[start_title(start)].append(boxes_tile(read(image_id), Boxes(detections.boxes[rows], texts), labels))
    columns["truth"] = []
    for image_id in ids:
        true = objects.of(image_id)
        texts = tuple(names[label] for label in true.labels.tolist())
        columns["truth"].append(boxes_tile(read(image_id), Boxes(true.boxes, texts), true.labels.tolist()))
    write_comparison(path, f"The {DRAWN} surest detections of each image, with their scores", columns)


def write_segmentations(path: Path, runs: Mapping[str, Segmentations], mode: str, objects: Objects, read: Read) -> None:
    """Draw predicted classes of pixels beside the truth.

    Args:
        path: The PNG file.
        runs: Segmentations by start, at least one, all with ``mode``.
        mode: ``frozen`` or ``fine_tuned``.
        objects: The truth.
        read: An image by its id.
    """
    ids = spread(sorted(next(iter(runs.values())).maps[mode]))
    columns = {
        start_title(start): [classes_tile(read(image_id), run.maps[mode][image_id]) for image_id in ids]
        for start, run in runs.items()
    }
    truth = [(image_id, objects.segmentation(image_id)) for image_id in ids]
    columns["truth"] = [classes_tile(read(image_id), found) for image_id, found in truth if found is not None]
    write_comparison(path, f"Segmentations, {mode.replace('_', '-')}", columns)
