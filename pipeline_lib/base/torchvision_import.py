"""Makes torchvision importable where its compiled operators do not fit the installed torch.

The package index has one torchvision wheel for Linux, linked against CUDA. Beside a CPU build of torch its operator
library does not load, and ``import torchvision`` then stops at ``operator torchvision::nms does not exist`` although
transforms, datasets and models need no compiled operator. Declaring the operators' schemas first lets the import pass.
Non-maximum suppression, which detection needs, then gets a CPU kernel in plain torch; where the compiled operators
load, they are used.

Import this module before torchvision or timm.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

import numpy as np
import torch
from torch import Tensor

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_BLOCK = 256


def _overlaps(boxes: Tensor, others: Tensor) -> Tensor:
    """Intersection over union, (n, 4) and (m, 4) → (n, m)."""
    areas, other_areas = (((each[:, 2] - each[:, 0]) * (each[:, 3] - each[:, 1]))[:, None] for each in (boxes, others))
    width = torch.minimum(boxes[:, None, 2], others[:, 2]) - torch.maximum(boxes[:, None, 0], others[:, 0])  # (n, m)
    height = torch.minimum(boxes[:, None, 3], others[:, 3]) - torch.maximum(boxes[:, None, 1], others[:, 1])
    shared = width.clamp_(min=0) * height.clamp_(min=0)
    return shared / (areas + other_areas.T - shared)


def _suppress(dets: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Greedy non-maximum suppression, with the results of the compiled kernel.

    Works block by block in the order of the scores: inside a block box by box on a matrix of overlaps, then all that
    the block keeps against all that follows at once.

    Args:
        dets: Boxes x0, y0, x1, y1, float (n, 4).
        scores: float (n,).
        iou_threshold: A box falls where its overlap with a kept box of a higher score is larger.

    Returns:
        Indices of the kept boxes by falling score, int64.
    """
    order = scores.sort(descending=True, stable=True).indices
    kept = []
    while len(order):
        block, rest = order[:_BLOCK], order[_BLOCK:]
        above = (_overlaps(dets[block], dets[block]) > iou_threshold).numpy()
        fallen = np.zeros(len(block), dtype=bool)
        for row in range(len(block)):
            if not fallen[row]:
                fallen[row + 1 :] |= above[row, row + 1 :]
        chosen = block[torch.from_numpy(~fallen)]
        kept.append(chosen)
        if len(rest):
            rest = rest[~(_overlaps(dets[chosen], dets[rest]) > iou_threshold).any(dim=0)]
        order = rest
    return torch.cat(kept) if kept else order


def _import_torchvision() -> None:
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        open_library: Any = torch.library.Library
        library = open_library("torchvision", "FRAGMENT")
        for schema in _SCHEMAS:
            library.define(schema)
        library.impl("nms", _suppress, "CPU")
        # The declarations live as long as the library object.
        globals()["_LIBRARY"] = library
        importlib.import_module("torchvision")


_import_torchvision()
