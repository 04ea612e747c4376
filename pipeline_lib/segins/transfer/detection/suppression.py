"""Non-maximum suppression inside groups.

It calls the operator itself: torchvision's functions refuse to where it is not compiled.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pipeline_lib.base import torchvision_import  # noqa: F401


def suppress(boxes: Tensor, scores: Tensor, groups: Tensor | None, threshold: float) -> Tensor:
    """Greedy non-maximum suppression; boxes of different groups do not suppress each other.

    Args:
        boxes: x0, y0, x1, y1, not negative, float (n, 4).
        scores: float (n,).
        groups: int64 (n,), from 0; ``None``: one group.
        threshold: A box falls where its overlap with a kept box of a higher score is larger.

    Returns:
        Indices of the kept boxes by falling score, int64.
    """
    if groups is not None and len(boxes):
        # Shifted far apart, boxes of different groups do not overlap: one call serves all groups.
        boxes = boxes + (groups * (boxes.max() + 1))[:, None]
    kept: Tensor = torch.ops.torchvision.nms(boxes, scores, threshold)
    return kept
