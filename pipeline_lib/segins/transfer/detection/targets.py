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
        masks = None if self.masks is None else self.masks.to(device, non_blocking=True)
        return Targets(self.boxes.to(device, non_blocking=True), self.labels.to(device, non_blocking=True), masks)

    def pin_memory(self) -> Targets:
        """The same objects where a device can copy them from while the next step is computed."""
        masks = None if self.masks is None else self.masks.pin_memory()
        return Targets(self.boxes.pin_memory(), self.labels.pin_memory(), masks)


@dataclass
class ImageGroup:
    """Images of one orientation that are padded together, and their objects.

    Attributes:
        images: Normalised, padded with zeros at the right and the bottom, float32 (N, 3, H, W).
        sizes: Height and width of each image without the padding.
        targets: Objects of each image.
        seed: Of the anchors and regions that are drawn for the group.
    """

    images: Tensor
    sizes: list[tuple[int, int]]
    targets: list[Targets]
    seed: int

    def to(self, device: torch.device) -> ImageGroup:
        """The same group on a device."""
        images = self.images.to(device, non_blocking=True)
        return ImageGroup(images, self.sizes, [targets.to(device) for targets in self.targets], self.seed)

    def pin_memory(self) -> ImageGroup:
        """The same group where a device can copy it from while the next step is computed."""
        return ImageGroup(
            self.images.pin_memory(), self.sizes, [targets.pin_memory() for targets in self.targets], self.seed
        )


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
