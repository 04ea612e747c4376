"""Reads tensors from weight files without running what a pickle may hold."""

from __future__ import annotations

import hashlib
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from pipeline_lib.base.errors import MissingFileError, UserError

_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".tar")
# Where training code puts the network inside a checkpoint, the one to evaluate first (DINO's and MSN's teachers).
_WRAPPERS = ("teacher", "target_encoder", "state_dict", "model", "model_state_dict", "student")


def read_state(path: Path, parameter: str) -> dict[str, Tensor]:
    """Read a state dict, also where a training checkpoint wraps it.

    Args:
        path: ``.safetensors``, or a file of ``torch.save``.
        parameter: Name of the parameter that gave the path, for messages.

    Returns:
        Tensors by name, on the CPU.

    Raises:
        MissingFileError: There is no such file.
        UserError: It is of another kind, damaged, or holds other Python objects than tensors and plain values.
    """
    if not path.is_file():
        raise MissingFileError(f"{parameter} = {path}: no such file")
    if path.suffix not in _SUFFIXES:
        raise UserError(f"{parameter} = {path}: allowed are files that end in {', '.join(_SUFFIXES)}")
    try:
        content = load_file(path) if path.suffix == ".safetensors" else _load_pickle(path, parameter)
    except (SafetensorError, RuntimeError, EOFError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{parameter} = {path}: not a readable weight file ({_first_line(error)})") from None
    return _unwrapped(content, f"{parameter} = {path}")


def _load_pickle(path: Path, parameter: str) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        name = re.search(r"GLOBAL (\S+)", str(error))
        held = f"a Python object of {name.group(1)}" if name else "no tensors that torch can read"
        raise UserError(f"{parameter} = {path}: holds {held}; give a file with the state dict alone") from None


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _unwrapped(content: Any, where: str) -> dict[str, Tensor]:
    if isinstance(content, Mapping):
        if content and all(isinstance(value, Tensor) for value in content.values()):
            return dict(content)
        for key in _WRAPPERS:
            if isinstance(content.get(key), Mapping):
                return _unwrapped(content[key], where)
        other = [f"{key} ({type(value).__name__})" for key, value in content.items() if not isinstance(value, Tensor)]
        if other:
            raise UserError(f"{where}: expected a state dict of tensors, found {', '.join(other[:5])}")
    raise UserError(f"{where}: expected a state dict of tensors, found {type(content).__name__} without any")


def state_digest(module: nn.Module) -> str:
    """Blake2b digest (hex, 128 bit) of a module's parameters and buffers: names, dtypes, shapes and values."""
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in sorted(module.state_dict().items()):
        values = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {values.dtype} {tuple(values.shape)}\n".encode())
        digest.update(values.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
