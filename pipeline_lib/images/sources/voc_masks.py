"""Masks of VOC: maps of classes and of objects, and which object of the annotation file each region is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline_lib.base.errors import UserError
from pipeline_lib.images.sources.annotations import IGNORED, Box

# A region belongs to an object if at least this share of it lies inside the object's box.
_INSIDE = 0.5


def read_map(path: Path, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Read a PNG of indices, with a palette or grey.

    Args:
        path: The file.
        size: Height and width of its image.

    Returns:
        uint8 (H, W).

    Raises:
        UserError: It is no such PNG, or of another size than the image.
    """
    try:
        with Image.open(path) as image:
            mode, values = image.mode, np.asarray(image)
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"{path}: cannot be decoded ({' '.join(str(error).split())})") from None
    if mode not in ("P", "L") or values.shape != size:
        raise UserError(f"{path}: expected one index a pixel in {size[1]} x {size[0]}, found {mode} {values.shape}")
    return values


def class_map(path: Path, size: tuple[int, int], classes: int) -> NDArray[np.uint8]:
    """Read a map of classes.

    Args:
        path: A file of ``SegmentationClass`` or ``SegmentationClassAug``.
        size: Height and width of its image.
        classes: Number of classes.

    Returns:
        uint8 (H, W): 0 background, 1 + label, 255 not counted.

    Raises:
        UserError: It cannot be read, or has an index without a class.
    """
    values = read_map(path, size)
    odd = values[(values > classes) & (values != IGNORED)]
    if len(odd):
        raise UserError(f"{path}: index {int(odd[0])} at a pixel, allowed are 0 to {classes} and {IGNORED}")
    return values


def object_masks(
    regions: NDArray[np.uint8], classes: NDArray[np.uint8] | None, boxes: Sequence[Box], labels: Sequence[int]
) -> list[NDArray[np.bool_] | None]:
    """Mask of each object.

    Region k of VOC's map is the k-th object of the annotation file. This is checked: most of the region has to lie in
    the object's box and, where there is a map of classes, most of it has to be of the object's class. An object whose
    region fails gets another one that passes and that no object has by its number, or none.

    Args:
        regions: Map of ``SegmentationObject``, uint8 (H, W): 0 background, from 1 objects, 255 not counted.
        classes: Map of ``SegmentationClass``, or None.
        boxes: Boxes of the objects.
        labels: Labels of the objects.

    Returns:
        bool (H, W) or None for each.
    """
    numbers = [int(number) for number in np.unique(regions) if number not in (0, IGNORED)]
    masks = {number: regions == number for number in numbers}
    chosen: dict[int, int] = {}
    for row, (box, label) in enumerate(zip(boxes, labels, strict=True)):
        if row + 1 in masks and _fits(masks[row + 1], classes, box, label):
            chosen[row] = row + 1
    for row, (box, label) in enumerate(zip(boxes, labels, strict=True)):
        free = [number for number in numbers if number not in chosen.values()]
        if row not in chosen:
            fitting = [number for number in free if _fits(masks[number], classes, box, label)]
            if fitting:
                chosen[row] = max(fitting, key=lambda number: int(masks[number].sum()))
    return [masks[chosen[row]] if row in chosen else None for row in range(len(boxes))]


def _fits(mask: NDArray[np.bool_], classes: NDArray[np.uint8] | None, box: Box, label: int) -> bool:
    x0, y0, x1, y1 = (max(round(edge), 0) for edge in box)
    total = mask.sum()
    in_box = mask[y0:y1, x0:x1].sum() >= _INSIDE * total
    of_class = classes is None or (classes[mask] == label + 1).sum() >= _INSIDE * total
    return bool(in_box and of_class)
