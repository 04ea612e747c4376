"""Builds torchvision's ResNets without their classifier, and names their stages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from pipeline_lib.base import torchvision_import  # noqa: F401
from pipeline_lib.base.errors import UserError

from torchvision.models import resnet as torchvision_resnet  # isort: skip

Architecture = Literal["resnet18", "resnet34", "resnet50"]
ARCHITECTURES: tuple[str, ...] = get_args(Architecture)
STAGES: dict[str, str] = {"res2": "layer1", "res3": "layer2", "res4": "layer3", "res5": "layer4"}
"""Detectron2's names of the stages, which the thesis uses, and torchvision's."""

_CHANNELS: dict[str, int] = {"resnet18": 512, "resnet34": 512, "resnet50": 2048}
"""Channels of the last stage; more than 512 are a bottleneck's."""

STRIDES = {"res2": 4, "res3": 8, "res4": 16, "res5": 32}
"""Pixels between two positions of a stage's map."""


def build_resnet(
    architecture: str, *, zero_init_residual: bool = False, dilate_last: bool = False, norm_layer: Any = None
) -> nn.Module:
    """A ResNet with random weights whose ``fc`` is the identity.

    Args:
        architecture: One of ``ARCHITECTURES``.
        zero_init_residual: Start the last normalisation of every block at 0, as SimSiam does.
        dilate_last: Dilate res5 instead of striding, so that it has res4's resolution.
        norm_layer: Class of the normalisation layers; ``None``: ``BatchNorm2d``.

    Returns:
        The network; its output is the pooled res5 map, float (N, C).

    Raises:
        UserError: The architecture is unknown, or has no dilated form.
    """
    if architecture not in ARCHITECTURES:
        raise UserError(f"architecture = {architecture!r}: allowed: {', '.join(ARCHITECTURES)}")
    builder = getattr(torchvision_resnet, architecture)
    bottleneck = _CHANNELS[architecture] > 512
    options: dict[str, Any] = {"zero_init_residual": zero_init_residual, "norm_layer": norm_layer}
    if dilate_last and bottleneck:
        options["replace_stride_with_dilation"] = [False, False, True]
    model: nn.Module = builder(weights=None, **options)
    if dilate_last and not bottleneck:
        _dilate_basic_blocks(model)
    model.fc = nn.Identity()
    return model


def _dilate_basic_blocks(model: nn.Module) -> None:
    """What ``replace_stride_with_dilation`` does for bottlenecks, which torchvision refuses for basic blocks."""
    for number, block in enumerate(model.get_submodule("layer4").children()):
        # The first block keeps the dilation of the stage before, as in torchvision's bottleneck version.
        first: Any = block.get_submodule("conv1")
        second: Any = block.get_submodule("conv2")
        first.stride = (1, 1)
        for convolution in (first, second):
            convolution.dilation = convolution.padding = (1, 1) if number == 0 else (2, 2)
        if number == 0:
            downsample: Any = block.get_submodule("downsample.0")
            downsample.stride = (1, 1)


def stage_channels(architecture: str) -> dict[str, int]:
    """Number of channels of each stage's map, by its name ``res2`` to ``res5``."""
    return {name: _CHANNELS[architecture] >> (3 - number) for number, name in enumerate(STAGES)}


def stage_maps(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """Maps of all stages.

    Args:
        model: A network of :func:`build_resnet`.
        images: Normalised images, float (N, 3, H, W).

    Returns:
        By stage, float (N, C, H / stride, W / stride).
    """
    network: Any = model
    maps: dict[str, Tensor] = {}
    x = network.maxpool(network.relu(network.bn1(network.conv1(images))))  # (N, 64, H / 4, W / 4)
    for name, layer in STAGES.items():
        x = getattr(network, layer)(x)
        maps[name] = x
    return maps


def pooled(last_map: Tensor) -> Tensor:
    """Global average pooling, (N, C, h, w) → (N, C)."""
    return torch.flatten(nn.functional.adaptive_avg_pool2d(last_map, 1), 1)


def load_backbone(model: nn.Module, weights: Mapping[str, Tensor], where: str) -> None:
    """Load weights of torchvision's names, without ``fc``, into a network of :func:`build_resnet`.

    Raises:
        UserError: Keys are missing or too many, or shapes differ: the weights are of another architecture.
    """
    expected = model.state_dict()
    missing = [key for key in expected if key not in weights and not key.endswith("num_batches_tracked")]
    unknown = [key for key in weights if key not in expected]
    if missing or unknown:
        first = f"no {missing[0]}" if missing else f"unknown {unknown[0]}"
        raise UserError(f"{where}: not the weights of this architecture ({first})")
    for key, value in weights.items():
        if value.shape != expected[key].shape:
            raise UserError(
                f"{where}: {key} has the shape {tuple(value.shape)}, this architecture needs "
                f"{tuple(expected[key].shape)}"
            )
    model.load_state_dict(dict(weights), strict=False)
