"""Resamples learned position embeddings to another grid of patches."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

# DINO and DINOv2 scale by (new + 0.1) / old, so that rounding cannot lose a row; the coordinates shift with it.
_DINO_OFFSET = 0.1


def resampled_position_embedding(
    embedding: Tensor, grid: tuple[int, int], prefix_tokens: int, dino_style: bool
) -> Tensor:
    """Resample the patches' part of a position embedding bicubically.

    DINO and DINOv2 without registers do it without antialiasing and with an offset of 0.1 in the scale; DINOv2 with
    registers (and timm for all models) with antialiasing and no offset. The two differ, and features with them.

    Args:
        embedding: (1, prefix + N, C) for a square grid of N patches.
        grid: Rows and columns of the new grid.
        prefix_tokens: Leading positions that belong to class or register tokens and are kept.
        dino_style: Resample as DINO and DINOv2 without registers do.

    Returns:
        (1, prefix + rows * columns, C); ``embedding`` itself where N does not make a square or already fits.
    """
    prefix, patches = embedding[:, :prefix_tokens], embedding[:, prefix_tokens:]
    side = math.isqrt(patches.shape[1])
    if side * side != patches.shape[1] or (side, side) == tuple(grid):
        return embedding
    image = patches.float().reshape(1, side, side, -1).permute(0, 3, 1, 2)  # (1, C, side, side)
    if dino_style:
        scale = ((grid[0] + _DINO_OFFSET) / side, (grid[1] + _DINO_OFFSET) / side)
        image = functional.interpolate(image, scale_factor=scale, mode="bicubic", align_corners=False)
    else:
        image = functional.interpolate(image, size=grid, mode="bicubic", align_corners=False, antialias=True)
    resampled = image.permute(0, 2, 3, 1).flatten(1, 2).to(embedding.dtype)  # (1, rows * columns, C)
    return torch.cat([prefix, resampled], dim=1)
