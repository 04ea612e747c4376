"""Rebuilds a projector from its weights: linear layers, batch normalisation and ReLU, in ``nn.Sequential``'s names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from torch import Tensor, nn

from pipeline_lib.base.errors import UserError


def build_projector(state: Mapping[str, Tensor], where: str = "projector") -> nn.Sequential:
    """The network whose state this is: SimSiam's (layers 0, 1, 3, 4, 6, 7), MoCo-V2's (0, 2) or one alike.

    A layer with a two-dimensional weight is linear, one with running statistics is a batch normalisation, without
    scale and shift where the state has none. The positions in between, which have no weights, are ReLUs.

    Args:
        state: Weights and buffers, named ``<position>.<tensor>``.
        where: What the message calls the state.

    Returns:
        The network with these weights, in evaluation mode; float (N, C) → (N, D).

    Raises:
        UserError: The state is empty, or holds other layers.
    """
    layers: defaultdict[int, dict[str, Tensor]] = defaultdict(dict)
    for key, value in state.items():
        position, _, name = key.partition(".")
        if not position.isdecimal():
            raise UserError(f"{where}: unknown key {key}; expected names such as 0.weight")
        layers[int(position)][name] = value
    if not layers:
        raise UserError(f"{where}: no layers; expected names such as 0.weight")
    modules = [_layer(layers.get(position), f"{where}: layer {position}") for position in range(max(layers) + 1)]
    projector = nn.Sequential(*modules)
    # Files from before torch counted batches lack num_batches_tracked, which evaluation does not use.
    projector.load_state_dict(dict(state), strict=False)
    return projector.eval()


def _layer(tensors: Mapping[str, Tensor] | None, where: str) -> nn.Module:
    if tensors is None:
        return nn.ReLU(inplace=True)
    names = set(tensors)
    weight = tensors.get("weight")
    if {"running_mean", "running_var"} <= names:
        return nn.BatchNorm1d(len(tensors["running_mean"]), affine=weight is not None)
    if weight is not None and weight.ndim == 2 and names <= {"weight", "bias"}:
        return nn.Linear(weight.shape[1], weight.shape[0], bias="bias" in names)
    raise UserError(f"{where}: neither linear nor a batch normalisation (it has {', '.join(sorted(names))})")
