"""A linear layer on the last stage of a dilated ResNet."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pipeline_lib.resnet.build import build_resnet, load_backbone, stage_channels, stage_maps

_INITIAL_DEVIATION = 0.01


class LinearSegmenter(nn.Module):
    """A 1 × 1 convolution on res5's map at a stride of 16, as mmseg's FCNHead without convolutions.

    Attributes:
        backbone: The dilated ResNet.
        classifier: The linear layer.
        frozen: Whether the ResNet is kept as it is, batch statistics too.
    """

    def __init__(self, backbone: nn.Module, channels: int, classes: int, *, frozen: bool) -> None:
        """Put a new layer on a network; its weights start at N(0, 0.01).

        Args:
            backbone: A network of ``build_resnet`` with ``dilate_last``.
            channels: Channels of its res5.
            classes: Classes, the background among them.
            frozen: Keep the network as it is.
        """
        super().__init__()
        self.backbone = backbone
        self.classifier = nn.Conv2d(channels, classes, 1)
        nn.init.normal_(self.classifier.weight, std=_INITIAL_DEVIATION)
        nn.init.constant_(self.classifier.bias, 0.0)  # type: ignore[arg-type]
        self.frozen = frozen
        if frozen:
            backbone.requires_grad_(False)

    def train(self, mode: bool = True) -> LinearSegmenter:
        """Training mode; a frozen network stays in evaluation mode."""
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        """Scores of the classes.

        Args:
            images: Normalised images, float (N, 3, H, W).

        Returns:
            Float (N, classes, H, W), bilinear from a stride of 16.
        """
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            features = stage_maps(self.backbone, images)["res5"]  # (N, C, H / 16, W / 16)
        scores = self.classifier(features)
        resized: Tensor = nn.functional.interpolate(scores, images.shape[-2:], mode="bilinear", align_corners=False)
        return resized


def build_segmenter(
    architecture: str, weights: Mapping[str, Tensor], classes: int, where: str, *, frozen: bool
) -> LinearSegmenter:
    """A segmenter on a checkpoint's weights.

    Args:
        architecture: Name of the ResNet.
        weights: Its weights in torchvision's names.
        classes: Classes, the background among them.
        where: What to call the weights in messages.
        frozen: Train the layer only.

    Returns:
        The segmenter; torch's generator decides the layer's weights.

    Raises:
        UserError: The weights are of another architecture.
    """
    backbone = build_resnet(architecture, dilate_last=True)
    load_backbone(backbone, weights, where)
    return LinearSegmenter(backbone, stage_channels(architecture)["res5"], classes, frozen=frozen)
