"""Makes torchvision importable where its compiled operators do not fit the installed torch.

The package index has one torchvision wheel for Linux, linked against CUDA. Beside a CPU build of torch its operator
library does not load, and ``import torchvision`` then stops at ``operator torchvision::nms does not exist`` although
transforms, datasets and models need no compiled operator. Declaring the operators' schemas first lets the import pass.

Import this module before torchvision or timm.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

import torch

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


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
        # The declarations live as long as the library object.
        globals()["_LIBRARY"] = library
        importlib.import_module("torchvision")


_import_torchvision()
