"""Runs a part of a ResNet on groups of images of different sizes, normalised by statistics of all of them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from pipeline_lib.base import torchvision_import  # noqa: F401

from torchvision.models.resnet import BasicBlock, Bottleneck  # isort: skip

_BASIC = ("conv1", "bn1", "relu", "conv2", "bn2")


def maps_of_groups(module: nn.Module, groups: list[Tensor]) -> list[Tensor]:
    """Outputs of a module on each of several groups, as one batch would give them that needed no padding.

    Batch normalisation sees the positions of all groups at once; all else works on each group.

    Args:
        module: Layers of a ResNet, in torchvision's blocks.
        groups: Images or maps, float (N, C, H, W) each; H and W may differ from group to group.

    Returns:
        One output a group.
    """
    if len({group.shape[1:] for group in groups}) == 1:
        return list(module(torch.cat(groups)).split([len(group) for group in groups]))
    return _each(module, [group.contiguous(memory_format=torch.channels_last) for group in groups])


def _each(module: nn.Module, groups: list[Tensor]) -> list[Tensor]:
    match module:
        case nn.Sequential():
            for layer in module:
                groups = _each(layer, groups)
            return groups
        case BasicBlock() | Bottleneck():
            return _block(module, groups)
        case _BatchNorm():
            return _normalised(module, groups)
        case nn.ReLU():
            # Not in place: the groups are parts of one tensor that batch normalisation made.
            return [functional.relu(group) for group in groups]
        case _:
            return [module(group) for group in groups]


def _block(block: Any, groups: list[Tensor]) -> list[Tensor]:
    shortcut = groups if block.downsample is None else _each(block.downsample, groups)
    for name in _BASIC if isinstance(block, BasicBlock) else (*_BASIC, "relu", "conv3", "bn3"):
        groups = _each(getattr(block, name), groups)
    return [functional.relu(group + own) for group, own in zip(groups, shortcut, strict=True)]


def _normalised(norm: _BatchNorm, groups: list[Tensor]) -> list[Tensor]:
    channels = groups[0].shape[1]
    rows = torch.cat([group.permute(0, 2, 3, 1).reshape(-1, channels) for group in groups])  # (L, C)
    # As L images of one pixel. (torch 2's backward on the CPU is wrong for one image (1, C, L, 1) with channels last.)
    found = norm(rows[:, :, None, None])[:, :, 0, 0]  # (L, C)
    parts, start = [], 0
    for group in groups:
        count, _, height, width = group.shape
        stop = start + count * height * width
        parts.append(found[start:stop].reshape(count, height, width, channels).permute(0, 3, 1, 2))
        start = stop
    return parts
