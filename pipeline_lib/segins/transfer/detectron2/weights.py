"""A ResNet's weights under detectron2's names.

torchvision's ``layerN`` is detectron2's ``res{N+1}``, ``bnK`` is ``convK.norm``, the two parts of ``downsample`` are
``shortcut`` and ``shortcut.norm``, and what comes before the stages is the ``stem``.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline_lib.artifacts.checkpoint import Checkpoint
from pipeline_lib.artifacts.folder import write_atomically
from pipeline_lib.base.errors import UserError
from pipeline_lib.segins.resnet.build import build_resnet, load_backbone

SUPPORTED = "resnet50"
_RULES = (
    (re.compile(r"^layer(\d)\."), lambda match: f"res{int(match[1]) + 1}."),
    (re.compile(r"\bbn(\d)\."), lambda match: f"conv{match[1]}.norm."),
    (re.compile(r"\bdownsample\.0\."), lambda _: "shortcut."),
    (re.compile(r"\bdownsample\.1\."), lambda _: "shortcut.norm."),
)


@dataclass(frozen=True)
class Layer:
    """A convolution with its normalisation, as detectron2 matches them.

    Attributes:
        name: Detectron2's name of the convolution.
        shape: Of its weight.
        normalisation: Names of the normalisation's tensors.
    """

    name: str
    shape: tuple[int, ...]
    normalisation: tuple[str, ...]


def detectron2_key(key: str) -> str:
    """Detectron2's name of a tensor of torchvision's ResNet."""
    for pattern, replacement in _RULES:
        key = pattern.sub(replacement, key)
    return key if key.startswith("res") else f"stem.{key}"


def detectron2_weights(checkpoint: Checkpoint) -> dict[str, NDArray[Any]]:
    """Weights and buffers by detectron2's names.

    Args:
        checkpoint: A checkpoint of a ResNet-50.

    Returns:
        NumPy arrays.

    Raises:
        UserError: The checkpoint is of another architecture.
    """
    if checkpoint.architecture != SUPPORTED:
        raise UserError(
            f"{checkpoint.folder}: the architecture is {checkpoint.architecture}; detectron2's C4 heads are made of "
            f"bottleneck blocks: allowed is {SUPPORTED}"
        )
    weights = checkpoint.backbone()
    load_backbone(build_resnet(SUPPORTED), weights, str(checkpoint.folder))
    return {detectron2_key(key): value.numpy() for key, value in weights.items()}


def layers(weights: Mapping[str, NDArray[Any]]) -> list[Layer]:
    """Convolutions with what belongs to each, in the order of the weights."""
    names = [key.removesuffix(".weight") for key, value in weights.items() if np.ndim(value) == 4]
    return [
        Layer(name, tuple(weights[f"{name}.weight"].shape), tuple(k for k in weights if k.startswith(f"{name}.norm.")))
        for name in names
    ]


def write_weights(path: Path, weights: Mapping[str, NDArray[Any]]) -> None:
    """Write detectron2's pickle; it matches the names by their longest common endings.

    Args:
        path: The file, ``*.pkl``.
        weights: Arrays by detectron2's names.
    """
    content = {"model": dict(weights), "__author__": "pipeline_lib", "matching_heuristics": True}
    write_atomically(path, pickle.dumps(content))
