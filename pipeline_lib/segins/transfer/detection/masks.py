"""The mask head of Mask R-CNN on C4 features, its targets, and pasting of its masks into images (He et al. 2017)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline_lib.segins.transfer.detection.region_alignment import align_regions

_CHANNELS = 256
_PASTED_ELEMENTS = 1 << 24


class MaskHead(nn.Module):
    """Deconvolution to twice the resolution, then one map a class."""

    def __init__(self, channels: int, classes: int) -> None:
        """Build the head with random weights.

        Args:
            channels: Channels of the regions' features.
            classes: Number of classes.
        """
        super().__init__()
        self.deconvolution = nn.ConvTranspose2d(channels, _CHANNELS, 2, stride=2)
        self.predictor = nn.Conv2d(_CHANNELS, classes, 1)
        nn.init.kaiming_normal_(self.deconvolution.weight, mode="fan_out", nonlinearity="relu")
        nn.init.normal_(self.predictor.weight, std=0.001)
        for layer in (self.deconvolution, self.predictor):
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)

    def forward(self, regions: Tensor, labels: Tensor) -> Tensor:
        """Logits of the masks of each region's class.

        Args:
            regions: float (K, C, s, s).
            labels: int64 (K,).

        Returns:
            float (K, 2 s, 2 s).
        """
        maps = self.predictor(functional.relu(self.deconvolution(regions)))  # (K, classes, 2 s, 2 s)
        chosen: Tensor = maps[torch.arange(len(labels), device=labels.device), labels]
        return chosen


def mask_targets(masks: Tensor, boxes: Tensor, matched: Tensor, side: int) -> Tensor:
    """Crop the objects' masks to boxes.

    Args:
        masks: uint8 (n, H, W).
        boxes: float (K, 4).
        matched: Object of each box, int64 (K,).
        side: Side of the result.

    Returns:
        float (K, side, side), 0 or 1.
    """
    regions = torch.cat([matched[:, None].to(boxes), boxes], dim=1)  # (K, 5)
    return (align_regions(masks[:, None].to(boxes), regions, side, 1.0)[:, 0] >= 0.5).to(boxes.dtype)


def paste_masks(masks: Tensor, boxes: Tensor, height: int, width: int) -> Tensor:
    """Put the masks of boxes into an image: bilinear samples at the pixels' centres, from one half on.

    Args:
        masks: Probabilities, float (n, s, s).
        boxes: In the image's pixels, float (n, 4).
        height: Of the image.
        width: Of the image.

    Returns:
        bool (n, height, width).
    """
    parts = [torch.zeros(0, height, width, dtype=torch.bool, device=masks.device)]
    block = max(1, _PASTED_ELEMENTS // (height * width))
    rows = torch.arange(height, device=masks.device, dtype=masks.dtype) + 0.5
    columns = torch.arange(width, device=masks.device, dtype=masks.dtype) + 0.5
    for start in range(0, len(masks), block):
        chosen = boxes[start : start + block].to(masks.dtype)  # (b, 4)
        left, top, right, bottom = (side[:, None] for side in chosen.unbind(1))
        x = 2 * (columns - left) / (right - left) - 1  # (b, width) in [-1, 1] inside the box
        y = 2 * (rows - top) / (bottom - top) - 1  # (b, height)
        grid = torch.stack(
            [x[:, None].expand(-1, height, -1), y[:, :, None].expand(-1, -1, width)], dim=-1
        )  # (b, height, width, 2)
        samples = functional.grid_sample(masks[start : start + block, None], grid, align_corners=False)
        parts.append(samples[:, 0] >= 0.5)
    return torch.cat(parts)
