"""Pictures that compare what detectors and segmenters from several starts say of the same images (Figure 4.1)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline_lib.artifacts.detections import DetectionRun, Detections
from pipeline_lib.artifacts.objects import ImageObjects, Objects
from pipeline_lib.artifacts.segmentations import Segmentations
from pipeline_lib.experiments.measures import pretraining_of, start_title
from pipeline_lib.reports.segins.pictures import SHOWN, Instances, classes_tile, instances_tile, write_comparison

Read = Callable[[int], Image.Image]

SCORE = 0.5
"""Score from which detections are drawn."""

DETECTION_TILE = 176
"""Side of a tile with detections, pixels."""

_FEW = 0.25
"""Share of the true objects below which so few detections reach ``SCORE`` that a lower score is drawn from."""


def spread(ids: Sequence[int]) -> list[int]:
    """Up to ``SHOWN`` ids, evenly from all."""
    if not ids:
        return []
    places = np.unique(np.linspace(0, len(ids) - 1, min(len(ids), SHOWN)).round().astype(np.int64))
    return [int(ids[place]) for place in places.tolist()]


def write_detections(path: Path, runs: Mapping[str, DetectionRun], objects: Objects, read: Read) -> None:
    """Draw detections with their masks: for each method the baseline, SegIns and the truth, as in Figure 4.1.

    Args:
        path: The PNG file.
        runs: Detections by start, at least one. Where no method has both, all stand in one row before the truth.
        objects: The truth.
        read: An image by its id.
    """
    names = next(iter(runs.values())).class_names
    found = {start: run.detections() for start, run in runs.items()}
    ids = spread(next(iter(found.values())).images.tolist())
    true = {image_id: objects.of(image_id) for image_id in ids}
    blocks = compared(list(found))
    score = drawn_score(found, true, [start for starts in blocks for start in starts])
    truth = [instances_tile(read(image_id), _true(true[image_id], names), DETECTION_TILE) for image_id in ids]

    def column(detections: Detections) -> list[Image.Image]:
        shown = ((image_id, _detected(detections, image_id, score, names)) for image_id in ids)
        return [instances_tile(read(image_id), instances, DETECTION_TILE) for image_id, instances in shown]

    tiles = [{start_title(start): column(found[start]) for start in starts} | {"truth": truth} for starts in blocks]
    why = "" if score == SCORE else f": too few reach {SCORE:g}"
    write_comparison(path, f"Detections with a score from {score:.2f}{why}", tiles, DETECTION_TILE)


def compared(starts: Sequence[str]) -> list[list[str]]:
    """Starts that stand side by side: baseline and SegIns of each method; all where no method has both."""
    methods = dict.fromkeys(method for method, _ in map(pretraining_of, starts) if method)
    pairs = [[f"{method}-baseline", f"{method}-segins"] for method in methods]
    return [pair for pair in pairs if set(pair) <= set(starts)] or [list(starts)]


def drawn_score(found: Mapping[str, Detections], true: Mapping[int, ImageObjects], starts: Sequence[str]) -> float:
    """Score from which detections are drawn, the same for all starts.

    Args:
        found: Detections by start.
        true: The true objects of the images that are drawn, by id.
        starts: Starts that are drawn.

    Returns:
        ``SCORE``; where far fewer detections have it than there are objects, as after a short training, the score from
        which the starts together have as many detections as objects.
    """
    wanted = len(starts) * sum(len(objects.labels) for objects in true.values())
    scores = [found[start].scores[np.isin(found[start].ids, list(true))] for start in starts]
    falling = np.sort(np.concatenate(scores))[::-1]
    if not len(falling) or wanted == 0 or (falling >= SCORE).sum() >= _FEW * wanted:
        return SCORE
    return min(SCORE, float(falling[min(wanted, len(falling)) - 1]))


def _detected(detections: Detections, image_id: int, score: float, names: Sequence[str]) -> Instances:
    # Less sure ones first, so that the surest are drawn on top.
    rows = [row for row in detections.rows(image_id).tolist() if detections.scores[row] >= score][::-1]
    labels = [int(detections.labels[row]) for row in rows]
    texts = [f"{names[label]} {detections.scores[row]:.2f}" for row, label in zip(rows, labels, strict=True)]
    masks = None if detections.masks is None else [detections.mask(row) for row in rows]
    return Instances(detections.boxes[rows], labels, texts, masks)


def _true(objects: ImageObjects, names: Sequence[str]) -> Instances:
    labels = objects.labels.tolist()
    masks = None if objects.masks is None else list(objects.masks)
    return Instances(objects.boxes, labels, [names[label] for label in labels], masks)


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
    write_comparison(path, f"Segmentations, {mode.replace('_', '-')}", [columns])
