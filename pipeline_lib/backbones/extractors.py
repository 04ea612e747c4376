"""Feature extractors: from image tensors to named blocks of features, side by side in one row an image."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

CLS = "cls"
PATCH_MEAN = "patch_mean"
POOLED = "pooled"
PIXELS = "pixels"


class FeatureExtractor(nn.Module):
    """Frozen model that gives one row of features an image.

    Attributes:
        widths: Columns of each block that is stored, in column order.
        default_blocks: Blocks that a stage uses when it does not say.
        channels_last: Whether images are best given in this memory format on a CPU.
    """

    def __init__(self, widths: Mapping[str, int], default_blocks: Sequence[str], channels_last: bool = False) -> None:
        super().__init__()
        self.widths = dict(widths)
        self.default_blocks = tuple(default_blocks)
        self.channels_last = channels_last
        self.eval()

    @property
    def blocks(self) -> dict[str, tuple[int, int]]:
        """First column and column after the last one of each block."""
        columns, start = {}, 0
        for name, width in self.widths.items():
            columns[name] = (start, start + width)
            start += width
        return columns

    @property
    def dimension(self) -> int:
        """Number of columns."""
        return sum(self.widths.values())

    @abstractmethod
    def block_features(self, images: Tensor) -> dict[str, Tensor]:
        """Features of each block, at least those in ``widths``: images (B, 3, H, W) to float32 (B, width)."""

    def forward(self, images: Tensor) -> Tensor:
        """Features of all stored blocks side by side.

        Args:
            images: Float32 (B, 3, H, W), preprocessed.

        Returns:
            Float32 (B, d).
        """
        features = self.block_features(images)
        return torch.cat([features[name] for name in self.widths], dim=1)


def class_token_name(depth: int) -> str:
    """Block of the class token of the ``depth``-th last transformer block: ``cls``, ``cls_-2``, ``cls_-3`` ..."""
    return CLS if depth == 1 else f"cls_-{depth}"


def token_blocks(class_tokens: Sequence[Tensor] | None, patch_tokens: Tensor) -> dict[str, Tensor]:
    """Feature blocks as in DINOv2's linear evaluation (Oquab et al. 2023, appendix B.3; thesis 5.2.6).

    Args:
        class_tokens: Class tokens of the last n transformer blocks after the final normalisation, in the order of the
            blocks, (B, C) each; ``None`` for models without one.
        patch_tokens: Patch tokens of the last block after the final normalisation, without registers, (B, N, C).

    Returns:
        ``cls``, ``patch_mean``, ``cls_-2``, ``cls_-3`` ..., float32 (B, C) each.
    """
    blocks = {} if class_tokens is None else {CLS: class_tokens[-1].float()}
    blocks[PATCH_MEAN] = patch_tokens.float().mean(dim=1)
    for depth, token in enumerate(reversed(class_tokens or ()), start=1):
        blocks.setdefault(class_token_name(depth), token.float())
    return blocks


class TransformerExtractor(FeatureExtractor):
    """Class tokens and mean patch token of a timm vision transformer."""

    def __init__(self, model: Any, blocks: Sequence[str] | None, last_blocks: int) -> None:
        """Wrap a model.

        Args:
            model: timm vision transformer.
            blocks: Blocks to store, in this column order; ``None`` for all.
            last_blocks: Number of last transformer blocks whose class tokens are on offer.

        Raises:
            KeyError: A block is not on offer.
        """
        # Models that average before they normalise have never trained their class token for anything.
        has_class_token = getattr(model, "cls_token", None) is not None and not isinstance(model.norm, nn.Identity)
        on_offer = [CLS, PATCH_MEAN, *(class_token_name(depth) for depth in range(2, last_blocks + 1))]
        on_offer = on_offer if has_class_token else [PATCH_MEAN]
        chosen = _chosen(on_offer, blocks)
        default = [name for name in (CLS, PATCH_MEAN) if name in chosen] or chosen[:1]
        super().__init__(dict.fromkeys(chosen, int(model.num_features)), default)
        self.model = model
        self.has_class_token = has_class_token
        self.last_blocks = last_blocks if has_class_token else 1

    def block_features(self, images: Tensor) -> dict[str, Tensor]:
        """Blocks of ``token_blocks``: images (B, 3, H, W) to float32 (B, C) each."""
        outputs = self.model.forward_intermediates(
            images,
            indices=self.last_blocks,
            return_prefix_tokens=True,
            norm=True,
            output_fmt="NLC",
            intermediates_only=True,
        )
        if not self.has_class_token:
            # Models without prefix tokens give the patch tokens alone. Where fc_norm comes after pooling, norm is
            # the identity; where norm comes before, fc_norm is.
            patch_tokens = outputs[-1][0] if isinstance(outputs[-1], tuple) else outputs[-1]  # (B, N, C)
            means = token_blocks(None, patch_tokens)[PATCH_MEAN]
            fc_norm = getattr(self.model, "fc_norm", None) or nn.Identity()
            return {PATCH_MEAN: fc_norm(means).float()}
        class_tokens = [prefix[:, 0] for _, prefix in outputs]  # (B, C) each; registers come after the class token
        return token_blocks(class_tokens, outputs[-1][0])


class PooledExtractor(FeatureExtractor):
    """What a timm model gives its classifier: globally pooled features."""

    def __init__(self, model: nn.Module, width: int, blocks: Sequence[str] | None) -> None:
        """Wrap a model without classifier that gives (B, width)."""
        chosen = _chosen([POOLED], blocks)
        super().__init__(dict.fromkeys(chosen, width), chosen, channels_last=True)
        self.model = model

    def block_features(self, images: Tensor) -> dict[str, Tensor]:
        """Block ``pooled``: images (B, 3, H, W) to float32 (B, width)."""
        return {POOLED: self.model(images).float()}


class PixelExtractor(FeatureExtractor):
    """The image itself, row by row, in [0, 1]."""

    def __init__(self, height: int, width: int, grey: bool, blocks: Sequence[str] | None) -> None:
        """Prepare for images of one size; ``grey`` takes the mean of red, green and blue."""
        chosen = _chosen([PIXELS], blocks)
        super().__init__(dict.fromkeys(chosen, height * width * (1 if grey else 3)), chosen)
        self.grey = grey

    def block_features(self, images: Tensor) -> dict[str, Tensor]:
        """Block ``pixels``: images (B, 3, H, W) to float32 (B, H * W), or (B, 3 * H * W) channel by channel."""
        values = images.float()
        return {PIXELS: (values.mean(dim=1) if self.grey else values).flatten(1)}


def _chosen(on_offer: Sequence[str], blocks: Sequence[str] | None) -> list[str]:
    if blocks is None:
        return list(on_offer)
    for name in blocks:
        if name not in on_offer:
            raise KeyError(f"{name!r}; allowed are {', '.join(on_offer)}")
    return list(dict.fromkeys(blocks))
