"""Takes backbone and projector out of the state dicts that others publish: SimSiam, MoCo-V2, torchvision, timm."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from pipeline_lib.base.errors import UserError
from pipeline_lib.segins.pretraining.methods import METHODS
from pipeline_lib.segins.resnet.build import ARCHITECTURES, build_resnet, load_backbone

_BLOCKS: dict[tuple[str, tuple[int, ...]], str] = {
    ("basic", (2, 2, 2, 2)): "resnet18",
    ("basic", (3, 4, 6, 3)): "resnet34",
    ("bottleneck", (3, 4, 6, 3)): "resnet50",
}
# Where a file's trained encoder lies; MoCo's other encoder, queue and SimSiam's predictor are dropped with the rest.
_ENCODERS = ("encoder_q.", "encoder.", "backbone.", "")
_WRAPPERS = ("module.", "model.")
_STEM = "conv1.weight"


@dataclass(frozen=True)
class ResNetState:
    """A ResNet read from a file.

    Attributes:
        architecture: Name in torchvision, found from the shapes.
        method: Method that trained it where its projector tells, else None.
        backbone: Weights and buffers by torchvision's names, without ``fc``.
        projector: Weights and buffers of the projector by position (``0.weight``), or None.
    """

    architecture: str
    method: str | None
    backbone: dict[str, Tensor]
    projector: dict[str, Tensor] | None


def resnet_state(state: Mapping[str, Tensor], where: str) -> ResNetState:
    """Backbone and projector of a state dict.

    ``module.encoder_q.`` (MoCo-V2), ``module.encoder.`` (SimSiam) and the prefix of ``DataParallel`` are taken off.
    ``fc`` as a sequence of layers is the projector; as a single linear layer it is a classifier, and dropped.

    Args:
        state: Tensors by name.
        where: What messages call the file, such as ``moco.baseline = weights/moco.pth``.

    Returns:
        The parts.

    Raises:
        UserError: It is no ResNet, or of an architecture that is not supported.
    """
    network = _encoder(state, where)
    backbone = {key: value for key, value in network.items() if not key.startswith("fc.")}
    layers = {key.removeprefix("fc."): value for key, value in network.items() if re.match(r"fc\.\d+\.", key)}
    architecture = _architecture(backbone, where)
    load_backbone(build_resnet(architecture), backbone, where)
    method = None if not layers else _method(layers, where)
    return ResNetState(architecture, method, backbone, layers or None)


def _encoder(state: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    """Entries of the trained encoder, by their names in it."""
    plain = dict(state)
    for wrapper in _WRAPPERS:
        if plain and all(key.startswith(wrapper) for key in plain):
            plain = {key.removeprefix(wrapper): value for key, value in plain.items()}
    for prefix in _ENCODERS:
        if prefix + _STEM in plain:
            return {key.removeprefix(prefix): value for key, value in plain.items() if key.startswith(prefix)}
    first = next(iter(state), "nothing")
    raise UserError(f"{where}: no ResNet in torchvision's names (no {_STEM}; the first key is {first})")


def _architecture(backbone: Mapping[str, Tensor], where: str) -> str:
    blocks = []
    for stage in range(1, 5):
        found = {int(match[1]) for key in backbone if (match := re.match(rf"layer{stage}\.(\d+)\.", key))}
        blocks.append(len(found))
    kind = "bottleneck" if "layer1.0.conv3.weight" in backbone else "basic"
    architecture = _BLOCKS.get((kind, tuple(blocks)))
    if architecture is None:
        raise UserError(f"{where}: a ResNet of {kind} blocks {blocks}; allowed: {', '.join(ARCHITECTURES)}")
    return architecture


def _method(layers: Mapping[str, Tensor], where: str) -> str:
    known = {name: method for name, method in METHODS.items() if method.made_projector is not None}
    for name, method in known.items():
        if method.made_projector is not None and method.made_projector(layers.keys()):
            return name
    positions = sorted({key.partition(".")[0] for key in layers})
    owners = " nor ".join(f"{method.title}'s" for method in known.values())
    raise UserError(f"{where}: fc has the layers {', '.join(positions)}, neither {owners}")


def check_architecture(found: ResNetState, wanted: str, parameter: str, where: str) -> None:
    """Refuse another architecture than the one that is set.

    Args:
        found: What the file holds.
        wanted: The architecture that is set; ``auto`` allows any.
        parameter: Name of the parameter that sets it.
        where: What the message calls the file.

    Raises:
        UserError: They differ.
    """
    if wanted not in ("auto", found.architecture):
        raise UserError(f"{where}: holds a {found.architecture}, but {parameter} = {wanted}")


def check_method(found: ResNetState, wanted: str, where: str) -> None:
    """Refuse the file of another method than the one that is asked for.

    Raises:
        UserError: They differ.
    """
    if found.method is not None and found.method != wanted:
        raise UserError(f"{where}: holds a network that {found.method} pretrained, not {wanted}")
