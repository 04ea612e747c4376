"""Reads the weights of a vision transformer out of an ONNX export of Hugging Face's DINOv2."""

from __future__ import annotations

import importlib
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipeline_lib.base.errors import MissingFileError, UserError

_PREFIX = "backbone."
_ANONYMOUS = "onnx::"
_POSITIONS = "embeddings.position_embeddings"


def read_onnx_state(path: Path, parameter: str) -> dict[str, Tensor]:
    """Read the tensors of the module ``backbone`` under the names that they had before the export.

    The exporter keeps the names of biases and normalisations. Weights of matrix products it transposes and leaves
    without a name; the node that uses one has the module's. The position embedding it splits into that of the class
    token and that of the patches.

    Args:
        path: The ``.onnx`` file.
        parameter: Name and value of the parameter that led to it, for messages.

    Returns:
        Tensors by Hugging Face's names, float32 on the CPU.

    Raises:
        MissingFileError: The package ``onnx`` is not installed.
        UserError: The file cannot be read, or is the export of another kind of model.
    """
    try:
        onnx = importlib.import_module("onnx")
        numpy_helper = importlib.import_module("onnx.numpy_helper")
    except ImportError:
        raise MissingFileError(f"{parameter}: its weights are in an ONNX file; pip install onnx") from None
    try:
        graph: Any = onnx.load(path).graph
        # Copied: the arrays are views of the file's buffer, which torch must not write to.
        tensors = {entry.name: torch.tensor(numpy_helper.to_array(entry)) for entry in graph.initializer}
    except Exception as error:  # protobuf raises its own classes, which differ between its implementations
        raise UserError(f"{parameter}: {path} is not a readable ONNX file ({type(error).__name__})") from None
    state = {name.removeprefix(_PREFIX): value for name, value in tensors.items() if name.startswith(_PREFIX)}
    for node in graph.node:
        if node.op_type == "MatMul" and node.input[1] in tensors:
            module = node.name.strip("/").removesuffix("/MatMul").replace("/", ".").removeprefix(_PREFIX)
            state[f"{module}.weight"] = tensors[node.input[1]].T.contiguous()
    return state | {_POSITIONS: _position_embedding(tensors, f"{parameter}: {path}")}


def _position_embedding(tensors: dict[str, Tensor], where: str) -> Tensor:
    """The nameless (1, 1, C) of the class token before the nameless (1, N, C) of a square of patches."""
    nameless = [value for name, value in tensors.items() if name.startswith(_ANONYMOUS) and value.ndim == 3]
    of_class = [value for value in nameless if value.shape[:2] == (1, 1)]
    of_patches = [v for v in nameless if v.shape[0] == 1 < v.shape[1] and math.isqrt(v.shape[1]) ** 2 == v.shape[1]]
    if len(of_class) != 1 or len(of_patches) != 1:
        raise UserError(
            f"{where}: expected one position embedding of the class token and one of the patches, "
            f"found {len(of_class)} and {len(of_patches)}"
        )
    return torch.cat([of_class[0], of_patches[0]], dim=1)  # (1, 1 + N, C)
