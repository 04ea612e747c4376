"""True foreground of an image, for scoring pseudo-masks only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline_lib.artifacts.objects import IGNORED, Objects


@dataclass(frozen=True)
class ImageTruth:
    """Truth of one image at the size of its pseudo-mask.

    Attributes:
        boxes: True boxes, float64 (n, 4): x0, y0, x1, y1 in pixels, ends exclusive; n at least 1.
        in_boxes: Pixels in any of them, bool (H, W).
        on_objects: Pixels of any object, bool (H, W), or ``None`` where not every object has a mask.
        counted: Pixels that are scored, bool (H, W): not those that the truth leaves open.
    """

    boxes: NDArray[np.float64]
    in_boxes: NDArray[np.bool_]
    on_objects: NDArray[np.bool_] | None
    counted: NDArray[np.bool_]


def image_truth(
    objects: Objects, image_id: int, image_size: tuple[int, int], size: tuple[int, int]
) -> ImageTruth | None:
    """Read the truth of an image.

    Regions that stand for many objects (COCO's crowds) and pixels without a class (VOC's outlines) are not counted.

    Args:
        objects: The data set's objects.
        image_id: Id of the image.
        image_size: Its height and width in pixels.
        size: Height and width to give the truth.

    Returns:
        The truth, or ``None`` where the image has no object.
    """
    found = objects.of(image_id)
    single = ~found.crowd
    if not single.any():
        return None
    factors = np.array([size[1] / image_size[1], size[0] / image_size[0]] * 2)
    boxes = found.boxes.astype(np.float64) * factors  # (n, 4)
    counted = np.ones(size, dtype=bool)
    segmentation = objects.segmentation(image_id)
    if segmentation is not None:
        counted &= nearest(segmentation, size) != IGNORED
    in_boxes = covered(boxes[single], size)
    on_objects = None
    if found.masks is not None:
        on_objects = nearest(np.any(found.masks[single], axis=0), size)
        crowd = nearest(np.any(found.masks[~single], axis=0), size)
    else:
        crowd = covered(boxes[~single], size)
    counted &= ~crowd | (in_boxes if on_objects is None else on_objects)
    return ImageTruth(boxes[single], in_boxes, on_objects, counted)


def nearest(pixels: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """An (H, W) array at another size, each pixel the nearest of the old ones."""
    rows, columns = (
        np.minimum((np.arange(new) + 0.5) * old / new, old - 1).astype(np.int64)
        for new, old in zip(size, pixels.shape, strict=True)
    )
    resized: NDArray[Any] = pixels[rows[:, None], columns[None, :]]
    return resized


def covered(boxes: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Pixels whose centre is in any of the boxes (n, 4), bool of ``size``."""
    y, x = np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5
    inside = np.zeros(size, dtype=bool)
    for x0, y0, x1, y1 in boxes:
        inside |= ((y >= y0) & (y < y1))[:, None] & ((x >= x0) & (x < x1))[None, :]
    return inside
