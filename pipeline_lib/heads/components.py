"""Principal components of the features, as the first and frozen layer of the heads.

Features of a backbone have far more directions than classes need, and batch normalisation gives all of them the same
weight. The leading components hold what the images differ in most; heads on them train several times as fast.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline_lib.artifacts.feature_blocks import FeatureBlocks
from pipeline_lib.row_blocks import bounded_row_blocks

_FEWEST = 64
_A_CLASS = 4


def fitted_components(components: Literal["auto"] | int | None, features: int, images: int, classes: int) -> int | None:
    """How many components to keep: ``auto`` means four a class, at least 64.

    Args:
        components: ``auto``, a number, or ``None`` for the features as they are.
        features: Feature dimension D.
        images: Number of training images n.
        classes: Number of classes K.

    Returns:
        The number, below D and n; ``None`` where so many are not to be had and the features stay as they are.
    """
    wanted = max(_FEWEST, _A_CLASS * classes) if components == "auto" else components
    return wanted if wanted is not None and wanted < min(features, images) else None


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
        dimension = features.dimension
        products = np.zeros((dimension, dimension))
        for block in bounded_row_blocks(features.count, dimension):
            rows = features.rows(block).astype(np.float64) - mean
            products += rows.T @ rows
        variances, vectors = np.linalg.eigh(products / max(1, features.count - 1))
        kept = len(self.directions)
        directions = vectors[:, ::-1][:, :kept].T  # (d, D)
        # An eigenvector has no sign; with a fixed one equal features give equal heads on every machine.
        largest = np.abs(directions).argmax(axis=1)
        directions = directions * np.sign(directions[np.arange(kept), largest])[:, None]
        self.mean.copy_(torch.from_numpy(mean))
        self.directions.copy_(torch.from_numpy(np.ascontiguousarray(directions)))
        return torch.from_numpy(np.maximum(variances[::-1][:kept], 0).copy()).float()
