"""Patches described by their mean colour: TokenCut without any network, for images that no network here has learnt."""

from __future__ import annotations

from torch import Tensor, nn

GRID = 16
"""Rows and columns of patches: images are resized to this many pixels."""

SIMILARITY = 0.9
"""Cosine similarity of normalised colours above which patches are joined: colours vary less than learnt features."""


class ColourFeatures(nn.Module):
    """The normalised colour of every pixel as its features."""

    def forward(self, images: Tensor) -> Tensor:
        """Pixels row by row: (N, 3, h, w) to (N, h w, 3)."""
        return images.flatten(2).transpose(1, 2)
