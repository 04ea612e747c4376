"""A linear layer on a stage of a ResNet whose last stage is dilated."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pipeline_lib.segins.resnet.build import build_resnet, load_backbone, stage_channels, stage_maps

_INITIAL_DEVIATION = 0.01


class LinearSegmenter(nn.Module):
    """A 1 × 1 convolution on res4 or res5 at a stride of 16, as mmseg's FCNHead without convolutions.

    Attributes:
        backbone: The dilated ResNet.
        classifier: The linear layer.
        mean: Of the features, float (1, C, 1, 1); 0 until ``standardise_features`` sets it.
        deviation: Likewise; 1 until then.
        frozen: Whether the ResNet is kept as it is, batch statistics too.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, backbone: nn.Module, stage: str, channels: int, classes: int, *, frozen: bool) -> None:
        """Put a new layer on a network; its weights start at N(0, 0.01).

        Args:
            backbone: A network of ``build_resnet`` with ``dilate_last``.
            stage: The stage, ``res4`` or ``res5``.
            channels: Its channels.
            classes: Classes, the background among them.
            frozen: Keep the network as it is.
        """
        super().__init__()
        self.backbone = backbone
        self._stage = stage
        self.classifier = nn.Conv2d(channels, classes, 1)
        nn.init.normal_(self.classifier.weight, std=_INITIAL_DEVIATION)
        nn.init.constant_(self.classifier.bias, 0.0)  # type: ignore[arg-type]
        self.register_buffer("mean", torch.zeros(1, channels, 1, 1))
        self.register_buffer("deviation", torch.ones(1, channels, 1, 1))
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
        scores = self.classifier((self.features(images) - self.mean) / self.deviation)
        resized: Tensor = nn.functional.interpolate(scores, images.shape[-2:], mode="bilinear", align_corners=False)
        return resized

    def features(self, images: Tensor) -> Tensor:
        """The features as the network gives them, float (N, C, H / 16, W / 16)."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            return stage_maps(self.backbone, images)[self._stage]

    def linear_layer(self) -> dict[str, Tensor]:
        """``weight`` (classes, C, 1, 1) and ``bias`` (classes,) of the layer on features as the network gives them."""
        weight = (self.classifier.weight / self.deviation).detach()
        bias = self.classifier.bias.detach() - (weight * self.mean).sum(dim=(1, 2, 3))  # type: ignore[union-attr]
        return {"weight": weight, "bias": bias}


def build_segmenter(
    architecture: str, weights: Mapping[str, Tensor], classes: int, where: str, *, frozen: bool, stage: str = "res5"
) -> LinearSegmenter:
    """A segmenter on a checkpoint's weights.

    Args:
        architecture: Name of the ResNet.
        weights: Its weights in torchvision's names.
        classes: Classes, the background among them.
        where: What to call the weights in messages.
        frozen: Train the layer only.
        stage: Stage that the layer sees, ``res4`` or ``res5``.

    Returns:
        The segmenter; torch's generator decides the layer's weights.

    Raises:
        UserError: The weights are of another architecture.
    """
    backbone = build_resnet(architecture, dilate_last=True)
    load_backbone(backbone, weights, where)
    if stage == "res4":
        # Nothing sees what comes after it.
        backbone.layer4 = nn.Identity()
    return LinearSegmenter(backbone, stage, stage_channels(architecture)[stage], classes, frozen=frozen)
