"""Keys of a vision transformer's last attention, which tell objects from their ground (Simeoni et al. 2021)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from pipeline_lib.backbones.build import Backbone
from pipeline_lib.backbones.loading import is_vision_transformer
from pipeline_lib.errors import UserError


class KeyExtractor(nn.Module):
    """Keys of the last block of a backbone's patches.

    Attributes:
        patch: Height and width of a patch in pixels.
    """

    def __init__(self, backbone: Backbone) -> None:
        """Wrap the model of a backbone.

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

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of the patches of an image of this size in pixels."""
        return height // self.patch[0], width // self.patch[1]

    def forward(self, images: Tensor) -> Tensor:
        """Keys with their heads side by side, without class token and registers.

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
        _, keys, _ = torch.chunk(caught[0], 3, dim=-1)  # (N, prefix + h w, C)
        return keys[:, int(self.model.num_prefix_tokens) :].float()
