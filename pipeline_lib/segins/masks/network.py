"""The network that ContraCAM reads: the last map of a ResNet, and an embedding computed from that map."""

from __future__ import annotations

import copy
from typing import Any, Literal

from torch import Tensor, nn
from torch.nn import functional

from pipeline_lib.artifacts.checkpoint import Checkpoint
from pipeline_lib.segins.resnet.build import build_resnet, load_backbone, pooled, stage_maps
from pipeline_lib.segins.resnet.projector import build_projector


class EmbeddingNetwork(nn.Module):
    """Backbone and projector in evaluation mode, in two halves that meet at the last map.

    Both are copies: nothing that is done here changes the modules that were given.

    Attributes:
        embedding_source: ``projector``, or ``pooled_features`` where there is no projector.
    """

    def __init__(self, backbone: nn.Module, projector: nn.Module | None, expand: Literal[1, 2] = 1) -> None:
        """Copy the modules.

        Args:
            backbone: A ResNet with torchvision's module names.
            projector: From pooled features (N, C) to embeddings (N, d); ``None``: pooled features are the embedding.
            expand: 2 sets every stride of the last stage's first block to 1, so that its map has twice the resolution.
        """
        super().__init__()
        self.backbone = copy.deepcopy(backbone)
        self.embedding_source = "pooled_features" if projector is None else "projector"
        self.projector = nn.Identity() if projector is None else copy.deepcopy(projector)
        if expand == 2:
            for module in self.backbone.get_submodule("layer4.0").modules():
                if isinstance(module, nn.Conv2d):
                    module.stride = (1, 1)
        self.eval().requires_grad_(False)

    def feature(self, images: Tensor) -> Tensor:
        """Map of the last stage: (N, 3, H, W) to (N, C, H / 32, W / 32), or with ``expand`` (N, C, H / 16, W / 16)."""
        return stage_maps(self.backbone, images)["res5"]

    def embedding(self, feature: Tensor) -> Tensor:
        """Embedding of unit length from the last map: (N, C, h, w) to (N, d)."""
        projected: Any = self.projector(pooled(feature))
        return functional.normalize(projected, dim=1)


def checkpoint_network(checkpoint: Checkpoint, expand: Literal[1, 2]) -> EmbeddingNetwork:
    """The network of a checkpoint; without a projector in it, the pooled features are the embedding."""
    where = str(checkpoint.folder)
    backbone = build_resnet(checkpoint.architecture)
    load_backbone(backbone, checkpoint.backbone(), where)
    state = checkpoint.projector()
    projector = None if state is None else build_projector(state, f"{where}: projector")
    return EmbeddingNetwork(backbone, projector, expand)
