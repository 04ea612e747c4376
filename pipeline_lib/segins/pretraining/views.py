"""Views of a batch of images: crops made on the CPU, colours changed on the training device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from pipeline_lib.segins.pretraining.colour import changed_colours, normalised
from pipeline_lib.segins.pretraining.draws import DRAWS_PER_VIEW, Crop, drawn_colours, drawn_crop, uniform_draws
from pipeline_lib.segins.pretraining.settings import PretrainSettings

GLOBAL_VIEWS = 2
ReadImage = Callable[[int], Tensor]


@dataclass(frozen=True)
class Views:
    """Views of one part of a batch.

    Attributes:
        images: Normalised images of each view, the two global ones first, float32 (N, 3, S, S).
        masks: Pseudo-masks of the global views, float32 (N, 1, h, w), 0 or 1; empty without masks.
    """

    images: list[Tensor]
    masks: list[Tensor]

    def to(self, device: torch.device) -> Views:
        """The same on a device, the images with their channels last."""
        images = [x.to(device, memory_format=torch.channels_last) for x in self.images]
        return Views(images, [mask.to(device) for mask in self.masks])


@dataclass(frozen=True)
class RawViews:
    """Crops before their colours are changed.

    Attributes:
        crops: Of each view, uint8 (N, 3, S, S), or (N, 4, S, S) with the mask, 0 or 255, as fourth channel.
        draws: Random numbers of each view, float64 (N, DRAWS_PER_VIEW).
    """

    crops: list[Tensor]
    draws: list[NDArray[np.float64]]

    def __len__(self) -> int:
        return len(self.crops[0])

    def pin_memory(self) -> RawViews:
        """The same crops where a device can copy them from while the step before is computed."""
        return RawViews([crops.pin_memory() for crops in self.crops], self.draws)


def cut_out(image: Tensor, crop: Crop, size: int) -> Tensor:
    """One crop in its size, the mask that comes as fourth channel with it.

    Args:
        image: uint8 (C, H, W).
        crop: The crop.
        size: Side of the result.

    Returns:
        uint8 (C, size, size), bilinear and anti-aliased.
    """
    part = image[:, crop.top : crop.top + crop.height, crop.left : crop.left + crop.width]
    resized = F.interpolate(part[None], size=(size, size), mode="bilinear", antialias=True)[0]
    return resized.flip(-1) if crop.flip else resized


class ViewMaker:
    """Makes the views of any images of any epoch; a copy of it works in a worker process.

    Args:
        read: Image of a row as uint8 (3, H, W), or (4, H, W) with its pseudo-mask.
        settings: Sizes and scales of the views.
        mask_size: Side of the masks that come with the global views; None: no masks.
        seed: Seed of all that is drawn.
    """

    def __init__(self, read: ReadImage, settings: PretrainSettings, mask_size: int | None, seed: int) -> None:
        self._read = read
        self._seed = seed
        self._mask_size = mask_size
        shape = (settings.global_size, settings.global_scale)
        self._shapes = [shape] * GLOBAL_VIEWS
        self._shapes += [(settings.local_size, settings.local_scale)] * settings.local_crops

    def raw(self, epoch: int, rows: NDArray[np.int64]) -> RawViews:
        """Crops of the images ``rows`` (n,) in an epoch."""
        draws = uniform_draws(self._seed, epoch, rows, len(self._shapes) * DRAWS_PER_VIEW)
        by_view = np.split(draws, len(self._shapes), axis=1)
        crops: list[list[Tensor]] = [[] for _ in self._shapes]
        for number, row in enumerate(rows):
            image = self._read(int(row))
            _, height, width = image.shape
            for view, (size, scale) in enumerate(self._shapes):
                crop = drawn_crop(by_view[view][number], height, width, scale)
                # No mask is needed on local views.
                source = image if view < GLOBAL_VIEWS else image[:3]
                crops[view].append(cut_out(source, crop, size))
        return RawViews([torch.stack(of_view) for of_view in crops], by_view)

    def finished(self, raw: RawViews, device: torch.device) -> Views:
        """Views with their colours changed, on the device."""
        images: list[Tensor] = []
        masks: list[Tensor] = []
        for crops, draws in zip(raw.crops, raw.draws, strict=True):
            on_device = crops.to(device, non_blocking=True)
            image = on_device[:, :3].float().div_(255)
            images.append(normalised(changed_colours(image.contiguous(), drawn_colours(draws))))
            if self._mask_size is not None and len(masks) < GLOBAL_VIEWS:
                masks.append(resized_mask(on_device[:, 3:], self._mask_size))
        return Views(images, masks).to(device)


def resized_mask(masks: Tensor, size: int) -> Tensor:
    """Masks in the size of the branch's output: 1 where they cover at least half of a cell.

    Args:
        masks: uint8 (N, 1, S, S), 0 to 255.
        size: Side of the result.

    Returns:
        float32 (N, 1, size, size), 0 or 1.
    """
    share = F.adaptive_avg_pool2d(masks.float() / 255, size)
    return (share >= 0.5).float()


def stacked_mask(image: NDArray[np.uint8], mask: NDArray[np.bool_] | None) -> Tensor:
    """Image with its pseudo-mask as a fourth channel, so that both meet the same crops.

    Args:
        image: uint8 (H, W, 3).
        mask: bool (h, w), which may be smaller than the image, or None.

    Returns:
        uint8 (3, H, W), or (4, H, W) with 255 where the mask is set; channels last in memory, as resizing likes it.
    """
    if mask is None:
        return torch.from_numpy(np.array(image)).permute(2, 0, 1)
    height, width, _ = image.shape
    channel = torch.from_numpy(mask.astype(np.uint8) * 255)
    if mask.shape != (height, width):
        channel = F.interpolate(channel[None, None], size=(height, width), mode="nearest")[0, 0]
    return torch.from_numpy(np.concatenate([image, channel.numpy()[..., None]], axis=2)).permute(2, 0, 1)
