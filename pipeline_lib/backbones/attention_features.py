"""What a vision transformer's last attention computes of each patch, which tells objects from their ground."""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from pipeline_lib.backbones.build import Backbone
from pipeline_lib.backbones.loading import is_vision_transformer
from pipeline_lib.base.errors import UserError

Projection = Literal["query", "key", "value"]


class AttentionExtractor(nn.Module):
    """Queries, keys or values of the patches in the last block of a backbone.

    Keys are the choice for DINO (Simeoni et al. 2021). Those of DINOv2 share one large component, so that all patches
    look alike; its values do not.

    Attributes:
        patch: Height and width of a patch in pixels.
    """

    def __init__(self, backbone: Backbone, projection: Projection) -> None:
        """Wrap the model of a backbone.

        Args:
            backbone: A vision transformer.
            projection: Which of the three.

        Raises:
            UserError: It is no vision transformer, or none that computes queries, keys and values at once.
        """
        super().__init__()
        model: Any = getattr(backbone.extractor, "model", None)
        fused = model is not None and is_vision_transformer(model) and hasattr(model.blocks[-1].attn, "qkv")
        if not fused:
            config = backbone.config
            raise UserError(f"{config.parameter('model')} = {config.model}: TokenCut needs a plain vision transformer")
        self.model = model
        self.patch: tuple[int, int] = tuple(model.patch_embed.patch_size)
        self._part = get_args(Projection).index(projection)

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of the patches of an image of this size in pixels."""
        return height // self.patch[0], width // self.patch[1]

    def forward(self, images: Tensor) -> Tensor:
        """The projection with its heads side by side, without class token and registers.

        Args:
            images: Preprocessed images, float32 (N, 3, H, W).

        Returns:
            Float32 (N, h w, C), patches row by row.
        """
        caught: list[Tensor] = []
        last = self.model.blocks[-1].attn.qkv
        handle = last.register_forward_hook(lambda _module, _inputs, output: caught.append(output))
        try:
            self.model.forward_features(images)
        finally:
            handle.remove()
        projected = torch.chunk(caught[0], 3, dim=-1)[self._part]  # (N, prefix + h w, C)
        return projected[:, int(self.model.num_prefix_tokens) :].float()
