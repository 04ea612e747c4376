"""The checkpoint artifact: a pretrained ResNet in torchvision's key names, with its projector where it has one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from pipeline_lib.artifacts.folder import new_folder, read_meta, write_meta

KIND = "checkpoint"
SCHEMA = 1
BACKBONE = "backbone.safetensors"
PROJECTOR = "projector.safetensors"
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint, opened without reading its weights.

    Attributes:
        folder: Folder of the artifact.
        architecture: Name of the ResNet in torchvision.
        method: Pretraining method, or ``None`` where it was not pretrained with one of those that are known.
        origin: What it is, for pictures and tables: ``baseline``, ``segins``, ``random``, ``supervised`` …
        mean: Mean of the normalisation, by channel, of values in [0, 1].
        std: Standard deviation of the normalisation.
        history: One entry an epoch that was watched; empty where nothing was trained here.
    """

    folder: Path
    architecture: str
    method: str | None
    origin: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    history: tuple[dict[str, Any], ...]

    def backbone(self) -> dict[str, torch.Tensor]:
        """Weights and buffers by torchvision's names, without ``fc``."""
        return load_file(self.folder / BACKBONE)

    def projector(self) -> dict[str, torch.Tensor] | None:
        """Weights and buffers of the projector by its own names, or ``None`` where there is none."""
        path = self.folder / PROJECTOR
        return load_file(path) if path.is_file() else None


def write_checkpoint(
    folder: Path,
    *,
    architecture: str,
    method: str | None,
    origin: str,
    backbone: Mapping[str, torch.Tensor],
    projector: Mapping[str, torch.Tensor] | None,
    history: Sequence[Mapping[str, Any]],
    made_by: Mapping[str, Any],
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
) -> None:
    """Write a checkpoint; see :class:`Checkpoint` for the arguments.

    Args:
        folder: Folder of the artifact.
        architecture: Name of the ResNet.
        method: Pretraining method or ``None``.
        origin: What it is.
        backbone: State of the network, without ``fc``.
        projector: State of the projector, or ``None``.
        history: What was watched during training, JSON values.
        made_by: Stage, settings and seed.
        mean: Mean of the normalisation.
        std: Standard deviation of the normalisation.
    """
    with new_folder(folder) as temporary:
        for name, state in ((BACKBONE, backbone), (PROJECTOR, projector)):
            if state is not None:
                save_file({key: value.detach().cpu().contiguous() for key, value in state.items()}, temporary / name)
        fields = {
            "architecture": architecture,
            "method": method,
            "origin": origin,
            "mean": list(mean),
            "std": list(std),
            "history": [dict(entry) for entry in history],
        }
        write_meta(temporary, KIND, SCHEMA, made_by, fields)


def open_checkpoint(folder: Path) -> Checkpoint:
    """Open a checkpoint artifact.

    Args:
        folder: The artifact's folder.

    Returns:
        The reader.

    Raises:
        MissingFileError: There is none.
        UserError: It is damaged or of another kind or layout.
    """
    meta = read_meta(folder, KIND, SCHEMA)
    mean, std = (tuple(float(value) for value in meta[key]) for key in ("mean", "std"))
    return Checkpoint(
        folder=folder,
        architecture=meta["architecture"],
        method=meta["method"],
        origin=meta["origin"],
        mean=mean,  # type: ignore[arg-type]
        std=std,  # type: ignore[arg-type]
        history=tuple(meta["history"]),
    )
