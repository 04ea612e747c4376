"""Colour changes of a batch of views at once, each view with parameters of its own; on any device."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from pipeline_lib.artifacts.checkpoint import IMAGENET_MEAN, IMAGENET_STD
from pipeline_lib.segins.pretraining.draws import ColourDraws

# ITU-R BT.601's weights of red, green and blue in the brightness of a pixel, as Pillow and torchvision use them.
_LUMA = (0.2989, 0.587, 0.114)


def grey(images: Tensor) -> Tensor:
    """Brightness of the pixels, (N, 3, H, W) → (N, 1, H, W)."""
    red, green, blue = (images[:, c : c + 1] * weight for c, weight in enumerate(_LUMA))
    return red + green + blue


def adjust_brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Values times ``factor`` (N, 1, 1, 1), cut off at 1; images float (N, 3, H, W) in [0, 1]."""
    return (images * factor).clamp(0, 1)


def adjust_contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Distance from the mean brightness of the image times ``factor``."""
    mean = grey(images).mean(dim=(2, 3), keepdim=True)
    return (mean + (images - mean) * factor).clamp(0, 1)


def adjust_saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Distance from the pixel's brightness times ``factor``."""
    brightness = grey(images)
    return (brightness + (images - brightness) * factor).clamp(0, 1)


def adjust_hue(images: Tensor, shift: Tensor) -> Tensor:
    """Hue turned by ``shift`` (N, 1, 1, 1), in whole turns, at equal saturation and value (HSV)."""
    value, where = images.max(dim=1, keepdim=True)  # (N, 1, H, W)
    chroma = value - images.amin(dim=1, keepdim=True)
    red, green, blue = images.chunk(3, dim=1)
    divisor = torch.where(chroma == 0, 1, chroma)
    sector = torch.where(
        where == 0,
        (green - blue) / divisor,
        torch.where(where == 1, 2 + (blue - red) / divisor, 4 + (red - green) / divisor),
    )
    turned = sector + 6 * shift
    channels = []
    for offset in (5, 3, 1):
        k = (turned + offset).remainder(6)
        channels.append(value - chroma * torch.minimum(k, 4 - k).clamp(0, 1))
    return torch.cat(channels, dim=1)


_ADJUSTMENTS: tuple[Callable[[Tensor, Tensor], Tensor], ...] = (
    adjust_brightness,
    adjust_contrast,
    adjust_saturation,
    adjust_hue,
)


def kernel_radius(side: int) -> int:
    """Pixels that the blur reaches: its kernel is a tenth of the image's side, as in SimCLR."""
    return max(1, side // 20)


def blur(images: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian blur with mirrored borders.

    Args:
        images: Float (N, C, S, S).
        sigma: Standard deviation of each image's kernel, pixels, float (N,), above 0.

    Returns:
        The blurred images.
    """
    side = images.shape[-1]
    radius = kernel_radius(side)
    offsets = torch.arange(-radius, radius + 1, device=images.device)
    kernel = torch.exp(-(offsets**2) / (2 * sigma[:, None] ** 2))  # (N, k)
    kernel = kernel / kernel.sum(dim=1, keepdim=True)
    source = (torch.arange(side, device=images.device)[:, None] + offsets).abs()  # (S, k)
    source = torch.where(source >= side, 2 * (side - 1) - source, source)
    # As products of matrices, of which each row holds a kernel, images with different kernels are one batch.
    count = len(images)
    matrix = images.new_zeros(count, side, side)
    matrix.scatter_add_(
        2, source.expand(count, -1, -1), kernel[:, None, :].expand(-1, side, -1).to(images.dtype)
    )  # (N, S, S)
    matrix = matrix.unsqueeze(1)
    return matrix @ images @ matrix.transpose(2, 3)


def changed_colours(images: Tensor, draws: ColourDraws) -> Tensor:
    """Jitter, grey and blur of each image.

    Args:
        images: Float (N, 3, S, S) in [0, 1]; it is written to.
        draws: What happens to each image.

    Returns:
        Float (N, 3, S, S) in [0, 1].
    """
    device = images.device
    factors = torch.from_numpy(draws.factors).to(device)
    for turn in range(len(_ADJUSTMENTS)):
        for number, adjust in enumerate(_ADJUSTMENTS):
            chosen = _rows(draws.jitter & (draws.order[:, turn] == number), device)
            if len(chosen):
                images[chosen] = adjust(images[chosen], factors[chosen, number].view(-1, 1, 1, 1))
    chosen = _rows(draws.grey, device)
    images[chosen] = grey(images[chosen]).expand(-1, 3, -1, -1)
    chosen = _rows(draws.sigma > 0, device)
    if len(chosen):
        images[chosen] = blur(images[chosen], torch.from_numpy(draws.sigma).to(device)[chosen])
    return images


def _rows(chosen: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(np.flatnonzero(chosen)).to(device)


def normalised(images: Tensor) -> Tensor:
    """ImageNet's mean taken off and divided by its standard deviation, by channel."""
    mean = images.new_tensor(IMAGENET_MEAN).view(1, 3, 1, 1)
    std = images.new_tensor(IMAGENET_STD).view(1, 3, 1, 1)
    return (images - mean) / std
