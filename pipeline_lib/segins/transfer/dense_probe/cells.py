"""Frozen features of the cells of a network's map, and how much of each cell is object."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline_lib.artifacts.objects import IGNORED
from pipeline_lib.segins.resnet.build import stage_maps

STAGES = ("res3", "res4", "res5")
"""Stages whose features stand side by side."""

CELLS = "res4"
"""Stage whose positions are the cells."""


@torch.inference_mode()
def cell_features(model: nn.Module, images: Tensor) -> Tensor:
    """Features of all of ``STAGES`` at res4's resolution: finer ones averaged, coarser ones bilinear.

    Args:
        model: A network of ``build_resnet`` in evaluation mode.
        images: Normalised images, float (b, 3, H, W), where the network is.

    Returns:
        Float32 (b, C of the stages, H / 16, W / 16), sides rounded up.
    """
    maps = stage_maps(model, images)
    size = maps[CELLS].shape[-2:]
    return torch.cat([_at(maps[stage], *size) for stage in STAGES], dim=1).float()


def _at(found: Tensor, height: int, width: int) -> Tensor:
    if found.shape[-2] > height:
        return nn.functional.adaptive_avg_pool2d(found, (height, width))
    return nn.functional.interpolate(found, (height, width), mode="bilinear", align_corners=False)


def object_shares(truth: NDArray[np.uint8], height: int, width: int) -> tuple[Tensor, Tensor]:
    """What share of each cell is object.

    Args:
        truth: Classes of an image's pixels, uint8 (H, W): 0 background, 255 not counted.
        height: Cells in a column.
        width: Cells in a row.

    Returns:
        Share of the counted pixels that are object (0 where none is counted), and share of the pixels that are
        counted: float64 (height, width) each.
    """
    classes = torch.from_numpy(truth)
    known = (classes != IGNORED).double()
    objects = (classes > 0).double() * known
    averaged = nn.functional.adaptive_avg_pool2d(torch.stack([objects, known]), (height, width))  # (2, h, w)
    return averaged[0] / averaged[1].clamp(min=1e-12), averaged[1]


def pixel_scores(scores: Tensor, height: int, width: int) -> NDArray[np.float64]:
    """Scores of cells, float (h, w), at the size of the image: (height, width), bilinear."""
    grown = nn.functional.interpolate(scores[None, None], (height, width), mode="bilinear", align_corners=False)
    return grown[0, 0].numpy()
