"""The network that is pretrained: a ResNet, its projector, SimSiam's predictor and the SegIns branch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pipeline_lib.segins.resnet.build import pooled, stage_maps

_BRANCH_CHANNELS = 256
_STRIDE = 2


class SegmentationBranch(nn.Module):
    """Class-agnostic segmentation from one stage's map (thesis 3.2).

    Two 1 × 1 convolutions with batch normalisation and ReLU to 2C channels, a 2 × 2 deconvolution of stride 2, and a
    1 × 1 convolution to one channel. The thesis does not give the deconvolution's channels; 256 are Mask R-CNN's.
    """

    def __init__(self, channels: int) -> None:
        """Prepare for a map of ``channels`` channels, the C of the thesis."""
        super().__init__()
        self.projection = nn.Sequential(
            nn.Conv2d(channels, 2 * channels, 1, bias=False),
            nn.BatchNorm2d(2 * channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(2 * channels, 2 * channels, 1, bias=False),
            nn.BatchNorm2d(2 * channels),
            nn.ReLU(inplace=True),
        )
        self.deconvolution = nn.ConvTranspose2d(2 * channels, _BRANCH_CHANNELS, _STRIDE, stride=_STRIDE)
        self.prediction = nn.Conv2d(_BRANCH_CHANNELS, 1, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Logits (N, 1, 2H, 2W) of a map (N, C, H, W)."""
        # Both layers of the prediction are linear: as one deconvolution to one channel they give the same at a
        # fraction of the work.
        mix = self.prediction.weight[0, :, 0, 0]  # (D,)
        weight = torch.einsum("cdhw,d->chw", self.deconvolution.weight, mix).unsqueeze(1)  # (2C, 1, 2, 2)
        bias = self.prediction.bias
        if self.deconvolution.bias is not None and bias is not None:
            bias = bias + self.deconvolution.bias @ mix
        return nn.functional.conv_transpose2d(self.projection(features), weight, bias, stride=_STRIDE)


class PretrainedNetwork(nn.Module):
    """ResNet, projector, and what is dropped after pretraining: predictor and segmentation branch."""

    def __init__(
        self,
        backbone: nn.Module,
        projector: nn.Module,
        predictor: nn.Module | None = None,
        branch: SegmentationBranch | None = None,
        stage: str = "res4",
    ) -> None:
        """Put the parts together.

        Args:
            backbone: A network of ``build_resnet``.
            projector: (N, C) → (N, D).
            predictor: (N, D) → (N, D), or None.
            branch: Reads the map of ``stage``, or None.
            stage: One of ``res2`` to ``res5``.
        """
        super().__init__()
        self.backbone = backbone
        self.projector = projector
        self.predictor = predictor
        self.branch = branch
        self.stage = stage

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Embeddings (N, D), pooled features (N, C), and the stage's map of normalised images (N, 3, H, W)."""
        maps = stage_maps(self.backbone, images)
        features = pooled(maps["res5"])
        return self.projector(features), features, maps[self.stage]

    def forward(
        self, views: Sequence[Tensor], segmented: int, other_maps: Sequence[Tensor] = ()
    ) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """Everything that the losses need, in one call, as distributed training wants it.

        Args:
            views: Normalised images of each view, (N, 3, S, S).
            segmented: The branch runs on so many of the first views.
            other_maps: Maps of another encoder that the branch runs on besides.

        Returns:
            Embeddings of each view (N, D); predictions (N, D), where there is a predictor; logits of the branch
            (N, 1, h, w) for the first views, then the other maps. All float32.
        """
        embeddings, maps = [], []
        # Each view apart: its batch statistics are its own, as in both methods' reference implementations.
        for view in views:
            embedding, _, stage_map = self.encode(view)
            embeddings.append(embedding.float())
            maps.append(stage_map)
        predictions = [] if self.predictor is None else [self.predictor(z).float() for z in embeddings]
        logits = []
        if self.branch is not None:
            logits = [self.branch(m).float() for m in (*maps[:segmented], *other_maps)]
        return embeddings, predictions, logits
