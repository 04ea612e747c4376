"""What the detector is trained on: the objects of a batch's images."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Targets:
    """Objects of one image, in the pixels of the resized image.

    Attributes:
        boxes: x0, y0, x1, y1, float32 (n, 4).
        labels: int64 (n,), from 0.
        masks: uint8 (n, H, W), or ``None`` where no mask head is trained.
    """

    boxes: Tensor
    labels: Tensor
    masks: Tensor | None = None

    def to(self, device: torch.device) -> Targets:
        """The same objects on a device."""
        masks = None if self.masks is None else self.masks.to(device)
        return Targets(self.boxes.to(device), self.labels.to(device), masks)


@dataclass
class Batch:
    """Images and their objects.

    Attributes:
        images: Normalised, padded with zeros at the right and the bottom, float32 (N, 3, H, W).
        sizes: Height and width of each image without the padding.
        targets: Objects of each image.
    """

    images: Tensor
    sizes: list[tuple[int, int]]
    targets: list[Targets]

    def to(self, device: torch.device) -> Batch:
        """The same batch on a device."""
        return Batch(self.images.to(device), self.sizes, [targets.to(device) for targets in self.targets])


def padded(images: list[Tensor]) -> tuple[Tensor, list[tuple[int, int]]]:
    """Stack images of different sizes, with zeros at the right and the bottom.

    Args:
        images: float (3, h, w) each.

    Returns:
        float (N, 3, H, W) of the largest height and width, and height and width of each.
    """
    sizes = [(int(image.shape[1]), int(image.shape[2])) for image in images]
    height, width = (max(side) for side in zip(*sizes, strict=True))
    stacked = images[0].new_zeros(len(images), 3, height, width)
    for place, image, (h, w) in zip(stacked, images, sizes, strict=True):
        place[:, :h, :w] = image
    return stacked, sizes
