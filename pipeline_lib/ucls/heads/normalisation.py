"""What stands between features and heads: nothing, standardisation, or batch normalisation (thesis 5.2.3)."""

from __future__ import annotations

from typing import assert_never

import torch
from torch import Tensor, nn

from pipeline_lib.base.runtime import all_reduce
from pipeline_lib.ucls.heads.settings import InputName

_RESOLUTION = 8 * torch.finfo(torch.float32).eps


class FeatureBatchNorm(nn.Module):
    """Batch normalisation of frozen features (thesis 5.2.3), with statistics of the global batch.

    The features need no gradient, so the statistics carry none and can be summed over processes on any device
    (torch's SyncBatchNorm is for CUDA only). Buffers and formulas are those of ``nn.BatchNorm1d``.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, features: int, momentum: float = 0.1, eps: float = 1e-5) -> None:
        super().__init__()
        self.momentum = momentum
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(features))
        self.bias = nn.Parameter(torch.zeros(features))
        self.register_buffer("running_mean", torch.zeros(features))
        self.register_buffer("running_var", torch.ones(features))

    def fit(self, mean: Tensor, variance: Tensor) -> None:
        """Start the running statistics at mean and unbiased variance of the columns, (D,) each.

        The teacher normalises by running statistics from the first iteration on, so they start at the truth.
        """
        self.running_mean.copy_(mean)
        self.running_var.copy_(variance)

    def forward(self, features: Tensor) -> Tensor:
        """Normalise (B, D) float32 features by the batch (training) or the running statistics (evaluation)."""
        return self.standardised(features) * self.weight + self.bias

    def standardised(self, features: Tensor) -> Tensor:
        """What ``forward`` gives before scale and shift, (B, D)."""
        if self.training:
            mean, variance = self._update(features.detach())
        else:
            mean, variance = self.running_mean, self.running_var
        return (features - mean) * torch.rsqrt(variance + self.eps)

    @torch.no_grad()
    def _update(self, features: Tensor) -> tuple[Tensor, Tensor]:
        count = all_reduce(features.new_tensor(float(len(features))))
        mean = all_reduce(features.sum(dim=0)) / count  # (D,)
        variance = all_reduce((features - mean).square().sum(dim=0)) / count  # (D,)
        unbiased = variance * count / (count - 1).clamp(min=1)
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(unbiased, self.momentum)
        return mean, variance


class Standardisation(nn.Module):
    """Columns with mean 0 and variance 1 over the training features, as TEMI's code does with ``--embed_norm``.

    There a column that does not vary divides by zero; here it becomes 0. Nothing is trained.
    """

    mean: Tensor
    inverse_scale: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("inverse_scale", torch.ones(features))

    def fit(self, mean: Tensor, variance: Tensor) -> None:
        """Take mean and unbiased variance of the columns, (D,) each."""
        # What varies by less than float32 resolves is rounding, and dividing by it would blow rounding up to unit size;
        # of principal components, whose mean is 0, the leading one says how large the rounding is.
        varies = variance > _RESOLUTION**2 * (mean.square() + variance.max())
        self.mean.copy_(mean)
        self.inverse_scale.copy_(torch.where(varies, variance, torch.ones_like(variance)).rsqrt() * varies)

    def forward(self, features: Tensor) -> Tensor:
        """Standardise (B, D) float32 features, alike in training and evaluation."""
        return (features - self.mean) * self.inverse_scale


def normalisation(name: InputName, features: int) -> FeatureBatchNorm | Standardisation | nn.Identity:
    """The module that stands before the heads.

    Args:
        name: ``train_heads.input``.
        features: Number of columns D.
    """
    match name:
        case "none":
            return nn.Identity()
        case "standardise":
            return Standardisation(features)
        case "batch_norm":
            return FeatureBatchNorm(features)
        case _:
            assert_never(name)
