"""From a decoded image to the normalised tensor that a checkpoint was trained on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor


@dataclass(frozen=True)
class Normalisation:
    """Mean and standard deviation by channel, of values in [0, 1]."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __call__(self, image: Image.Image) -> Tensor:
        """An RGB image as normalised float32 (3, H, W)."""
        return self.normalised(torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1).float() / 255)

    def normalised(self, pixels: Tensor) -> Tensor:
        """Values in [0, 1] as normalised float32 (3, H, W)."""
        mean, std = (torch.tensor(each)[:, None, None] for each in (self.mean, self.std))
        return ((pixels - mean) / std).contiguous()
