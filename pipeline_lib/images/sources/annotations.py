"""What image sources with objects give besides their records: boxes, masks and maps of an image's pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline_lib.images.sources.records import Source

IGNORED = 255
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class ObjectAnnotation:
    """One object.

    Attributes:
        label: Label from 0.
        box: x0, y0, x1, y1 in pixels from 0, ends exclusive.
        difficult: Not counted in VOC's metric.
        crowd: A region of many objects, not counted in COCO's metric.
        mask: bool (H, W), or None.
    """

    label: int
    box: Box
    difficult: bool = False
    crowd: bool = False
    mask: NDArray[np.bool_] | None = None

    @property
    def area(self) -> float:
        """Area of the box, square pixels."""
        x0, y0, x1, y1 = self.box
        return max(x1 - x0, 0.0) * max(y1 - y0, 0.0)


@dataclass(frozen=True)
class ImageAnnotation:
    """Objects of one image.

    Attributes:
        size: Height and width of the image, pixels.
        objects: In the origin's order.
        segmentation: Class of every pixel, uint8 (H, W): 0 background, 1 + label, 255 not counted; or None.
    """

    size: tuple[int, int]
    objects: tuple[ObjectAnnotation, ...]
    segmentation: NDArray[np.uint8] | None


@dataclass(frozen=True)
class AnnotatedSource:
    """An image source with the objects of its images.

    Attributes:
        source: The images; their label is the class of the largest object.
        class_names: Names of the objects' classes by label; empty where the source has no objects.
        annotation: Reads the objects of an image by its position in the source's order, which is its id in a prepared
            data set; None where the source has no objects.
    """

    source: Source
    class_names: tuple[str, ...] = ()
    annotation: Callable[[int], ImageAnnotation] | None = None


def image_label(objects: tuple[ObjectAnnotation, ...]) -> int | None:
    """Label of an image: class of its object with the largest box that is neither difficult nor a crowd, or None."""
    counted = [thing for thing in objects if not thing.difficult and not thing.crowd]
    return max(counted, key=lambda thing: thing.area).label if counted else None
