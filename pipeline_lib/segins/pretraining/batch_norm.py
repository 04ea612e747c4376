"""Batch normalisation over parts of a batch, and over the batches of all processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline_lib.base.runtime import all_reduce, is_distributed


class SplitBatchNorm2d(nn.BatchNorm2d):
    """Normalises each of several equal, consecutive parts of the batch by its own statistics.

    On one device it stands for the devices of MoCo, whose batches are normalised apart. The running statistics
    follow the means of the parts' statistics.
    """

    def __init__(self, channels: int, splits: int) -> None:
        """Prepare; ``splits``: number of parts."""
        super().__init__(channels)
        self.splits = splits

    def forward(self, inputs: Tensor) -> Tensor:
        """Normalise (N, C, H, W); N is a multiple of the number of parts while training."""
        if not self.training or self.splits == 1:
            return super().forward(inputs)
        if len(inputs) % self.splits:
            raise ValueError(f"a batch of {len(inputs)} cannot be split into {self.splits} equal parts")
        mean, variance = self.running_mean, self.running_var
        if mean is None or variance is None or self.momentum is None or self.num_batches_tracked is None:
            raise ValueError("split batch normalisation needs running statistics")
        means, variances = mean.repeat(self.splits, 1), variance.repeat(self.splits, 1)  # (S, C)
        parts = [
            F.batch_norm(part, means[i], variances[i], self.weight, self.bias, True, self.momentum, self.eps)
            for i, part in enumerate(inputs.chunk(self.splits))
        ]
        mean.copy_(means.mean(dim=0))
        variance.copy_(variances.mean(dim=0))
        self.num_batches_tracked.add_(1)
        return torch.cat(parts)


class _Total(torch.autograd.Function):
    """Sum over all processes, whose gradient is the sum of the gradients that all processes have for it."""

    @staticmethod
    def forward(ctx: Any, local: Tensor) -> Tensor:  # noqa: ARG004
        return all_reduce(local)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ARG004
        return all_reduce(gradient)


def _total(local: Tensor) -> Tensor:
    total: Tensor = _Total.apply(local)  # type: ignore[no-untyped-call]
    return total


class _AcrossProcesses(nn.modules.batchnorm._BatchNorm):
    """Normalises by the statistics of the batches of all processes, on any device; torch's own needs CUDA."""

    def _check_input_dim(self, input: Tensor) -> None:
        if input.ndim < 2:
            raise ValueError(f"expected (N, C, ...), got {tuple(input.shape)}")

    def forward(self, input: Tensor) -> Tensor:
        """Normalise (N, C, ...)."""
        if not self.training or not is_distributed():
            return super().forward(input)
        axes = [0, *range(2, input.ndim)]
        values = input.float()
        # Processes may hold images, and regions, of different numbers and sizes.
        count = all_reduce(values.new_tensor(values.numel() / values.shape[1]))
        mean = _total(values.sum(dim=axes)) / count  # (C,)
        shape = [1, -1, *[1] * (input.ndim - 2)]
        centred = values - mean.view(shape)
        variance = _total(centred.square().sum(dim=axes)) / count
        self._follow(mean.detach(), variance.detach() * count / (count - 1).clamp(min=1))
        result: Tensor = centred * (variance + self.eps).rsqrt().view(shape)
        if self.affine:
            result = result * self.weight.view(shape) + self.bias.view(shape)
        return result.to(input.dtype)

    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        momentum = 0.1 if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(variance, momentum)
        self.num_batches_tracked.add_(1)


def synchronised(module: nn.Module, device: torch.device) -> nn.Module:
    """The module with every batch normalisation over the batches of all processes; unchanged with one process.

    Args:
        module: Any module; its weights and their names stay.
        device: Where it will run: on CUDA torch's ``SyncBatchNorm`` is taken.

    Returns:
        The module, changed in place.
    """
    if not is_distributed():
        return module
    if device.type == "cuda":
        converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(module)  # type: ignore[no-untyped-call]
        return converted
    for name, child in module.named_children():
        if isinstance(child, nn.modules.batchnorm._BatchNorm):
            replacement = _AcrossProcesses(child.num_features, child.eps, child.momentum, child.affine)
            replacement.load_state_dict(child.state_dict())
            # The parameters themselves: one that is not trained stays so.
            for key, parameter in child.named_parameters():
                setattr(replacement, key, parameter)
            replacement.train(child.training)
            setattr(module, name, replacement)
        else:
            synchronised(child, device)
    return module


@torch.no_grad()
def average_statistics(modules: Iterable[nn.Module]) -> None:
    """Replace running means and variances by their means over all processes, in one message; else nothing.

    Where processes normalise apart, as those of MoCo do, each follows its own part of the batch; the means are what
    one process with as many parts has.
    """
    if not is_distributed():
        return
    layers = [
        layer
        for module in modules
        for layer in module.modules()
        if isinstance(layer, nn.modules.batchnorm._BatchNorm) and layer.running_mean is not None
    ]
    buffers = [layer.get_buffer(name) for layer in layers for name in ("running_mean", "running_var")]
    means = all_reduce(torch.cat(buffers)) / dist.get_world_size()
    for buffer, mean in zip(buffers, torch.split(means, [len(buffer) for buffer in buffers]), strict=True):
        buffer.copy_(mean)


def split_norm(splits: int) -> Callable[[int], Any]:
    """Maker of normalisation layers for a ResNet, with ``splits`` parts a batch."""
    return lambda channels: SplitBatchNorm2d(channels, splits)
