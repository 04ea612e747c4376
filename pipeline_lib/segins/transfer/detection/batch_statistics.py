"""Statistics of batch normalisation: over all processes in training, and taken anew before testing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from pipeline_lib.base.runtime import as_float64

T = TypeVar("T")


@torch.no_grad()
def refresh_statistics(module: nn.Module, batches: Iterable[T], forward: Callable[[T], object]) -> None:
    """Replace running means and variances by those of the population (PreciseBN, Wu and Johnson 2021, section 3).

    The variance is the mean of the batches' variances plus the variance of their means.

    Args:
        module: The network, in training mode.
        batches: Training batches.
        forward: Runs the network on a batch in training mode.
    """
    layers = [layer for layer in module.modules() if isinstance(layer, _BatchNorm) and layer.track_running_stats]
    sums = [
        (as_float64(torch.zeros_like(_mean(layer))), as_float64(torch.zeros_like(_mean(layer)))) for layer in layers
    ]
    momenta = [layer.momentum for layer in layers]
    count = 0
    try:
        for layer in layers:
            # With momentum 1 the running statistics are those of the last batch.
            layer.momentum = 1.0
        for batch in batches:
            forward(batch)
            count += 1
            for layer, (means, squares) in zip(layers, sums, strict=True):
                mean = as_float64(_mean(layer))
                means += mean
                squares += as_float64(_variance(layer)) + mean**2
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
    if count:
        for layer, (means, squares) in zip(layers, sums, strict=True):
            _mean(layer).copy_(means / count)
            _variance(layer).copy_((squares / count - (means / count) ** 2).clamp(min=0))


def _mean(layer: _BatchNorm) -> Tensor:
    return layer.get_buffer("running_mean")


def _variance(layer: _BatchNorm) -> Tensor:
    return layer.get_buffer("running_var")
