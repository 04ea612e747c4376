"""Feature rows for training, with the statistics that batch normalisation ends with."""

from __future__ import annotations

import torch
from torch import Tensor

from pipeline_lib.base.runtime import device_memory
from pipeline_lib.features.blocks import FeatureBlocks
from pipeline_lib.features.moments import column_moments
from pipeline_lib.features.row_reader import RowReader
from pipeline_lib.ucls.heads.components import PrincipalComponents


class FeatureRows(RowReader):
    """Gathers rows as float32 tensors on the training device; see :class:`RowReader`.

    Args:
        features: The features.
        device: The training device.
        budget: Bytes of them that may be held in memory. On CUDA the device's own free memory says what it holds.
    """

    def __init__(self, features: FeatureBlocks, device: torch.device, budget: int) -> None:
        super().__init__(features, device, budget, device_memory(device, budget))

    def fit_components(self, components: PrincipalComponents) -> tuple[Tensor, Tensor]:
        """Take the principal components of the rows; mean and unbiased variance of each, (d,) float32.

        Raises:
            UserError: A value is NaN or infinite.
        """
        variance = components.fit(self._features, column_moments(self._features).mean)
        return torch.zeros_like(variance), variance

    def moments(self) -> tuple[Tensor, Tensor]:
        """Mean and unbiased variance of every column, (D,) float32 each.

        Raises:
            UserError: A value is NaN or infinite.
        """
        moments = column_moments(self._features)
        unbiased = moments.variance * (self._features.count / max(1, self._features.count - 1))
        return torch.from_numpy(moments.mean).float(), torch.from_numpy(unbiased).float()
