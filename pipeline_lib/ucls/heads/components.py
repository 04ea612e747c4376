"""Principal components of the features, as the first and frozen layer of the heads.

Features of a backbone have far more directions than classes need, and batch normalisation gives all of them the same
weight. The leading components hold what the images differ in most; heads on them train several times as fast.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline_lib.features.blocks import FeatureBlocks
from pipeline_lib.features.principal_components import principal_components


class PrincipalComponents(nn.Module):
    """Projection on the leading principal components; buffers only, nothing is trained.

    Args:
        features: Feature dimension D.
        components: Number of components d.
    """

    mean: Tensor
    directions: Tensor

    def __init__(self, features: int, components: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("directions", torch.zeros(components, features))

    def forward(self, features: Tensor) -> Tensor:
        """Coordinates (B, d) of features (B, D) float32."""
        with torch.autocast(features.device.type, enabled=False):
            return nn.functional.linear(features - self.mean, self.directions)

    def fit(self, features: FeatureBlocks, mean: NDArray[np.float64]) -> Tensor:
        """Take the components of some features.

        Args:
            features: Features of n images, D columns.
            mean: Mean of their columns, (D,).

        Returns:
            Unbiased variance of each component over the images, (d,) float32, descending.
        """
        directions, variance = principal_components(features, mean, len(self.directions))
        self.mean.copy_(torch.from_numpy(mean))
        self.directions.copy_(torch.from_numpy(directions))
        return torch.from_numpy(variance).float()
