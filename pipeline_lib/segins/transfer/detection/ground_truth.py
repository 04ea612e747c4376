"""Objects of the tested images in columns, which the metrics compare detections with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline_lib.artifacts.detections import encoded_masks
from pipeline_lib.artifacts.objects import Objects


@dataclass(frozen=True)
class GroundTruth:
    """Objects of many images, one row each.

    Attributes:
        ids: Image of each object, int64 (g,), grouped by image.
        labels: int32 (g,).
        boxes: x0, y0, x1, y1 in pixels from 0, ends exclusive, float32 (g, 4).
        difficult: bool (g,).
        crowd: bool (g,).
        masks: Compressed run lengths of each, or ``None`` where they were not read.
        sizes: Height and width of the masks, int32 (g, 2).
        areas: Pixels of each mask, or area of the box, float32 (g,).
    """

    ids: NDArray[np.int64]
    labels: NDArray[np.int32]
    boxes: NDArray[np.float32]
    difficult: NDArray[np.bool_]
    crowd: NDArray[np.bool_]
    masks: tuple[bytes, ...] | None
    sizes: NDArray[np.int32]
    areas: NDArray[np.float32]


def read_ground_truth(objects: Objects, images: NDArray[np.int64], *, masks: bool) -> GroundTruth:
    """Read the objects of images.

    Args:
        objects: The artifact; with ``masks`` every object has one.
        images: Ids, int64 (n,).
        masks: Whether to read the masks too.

    Returns:
        The objects in the images' order.
    """
    found = [objects.of(int(image_id), with_masks=masks) for image_id in images]
    counts = [len(each.boxes) for each in found]
    boxes = np.concatenate([np.zeros((0, 4), np.float32), *(each.boxes for each in found)])
    sizes = np.zeros((len(boxes), 2), np.int32)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    encoded: tuple[bytes, ...] | None = None
    if masks:
        own = [each.masks for each in found if each.masks is not None]
        encoded = tuple(mask for each in own for mask in encoded_masks(each))
        sizes = np.array([each.shape[1:] for each in own for _ in each], np.int32).reshape(-1, 2)
        areas = np.array([mask.sum() for each in own for mask in each], np.float32)
    return GroundTruth(
        ids=np.repeat(images, counts),
        labels=np.concatenate([np.zeros(0, np.int32), *(each.labels for each in found)]),
        boxes=boxes,
        difficult=np.concatenate([np.zeros(0, bool), *(each.difficult for each in found)]),
        crowd=np.concatenate([np.zeros(0, bool), *(each.crowd for each in found)]),
        masks=encoded,
        sizes=sizes,
        areas=areas,
    )
