"""A checkpoint's weights as mmsegmentation's ``Pretrained`` initialisation reads them: plain torchvision names."""

from __future__ import annotations

import io
from pathlib import Path

import torch

from pipeline_lib.artifacts.checkpoint import Checkpoint
from pipeline_lib.artifacts.folder import write_atomically
from pipeline_lib.segins.resnet.build import build_resnet, load_backbone


def write_weights(path: Path, checkpoint: Checkpoint) -> int:
    """Write the backbone as a file of ``torch.save`` that holds tensors alone.

    mmsegmentation's ``ResNet`` has torchvision's names, so that no key changes.

    Args:
        path: The file, ``*.pth``.
        checkpoint: The checkpoint.

    Returns:
        Number of tensors.

    Raises:
        UserError: The weights are not those of the checkpoint's architecture.
    """
    weights = checkpoint.backbone()
    load_backbone(build_resnet(checkpoint.architecture), weights, str(checkpoint.folder))
    buffer = io.BytesIO()
    torch.save(weights, buffer)
    write_atomically(path, buffer.getvalue())
    return len(weights)
