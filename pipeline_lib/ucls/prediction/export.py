"""Writes the classifier, with or without its backbone, as an ONNX file that is checked against torch."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pipeline_lib.artifacts.classifier import Classifier
from pipeline_lib.artifacts.folder import write_json
from pipeline_lib.backbones.build import example_images
from pipeline_lib.backbones.onnx_export import INSTALL, absent_packages, onnx_model, save_model
from pipeline_lib.base.errors import UserError
from pipeline_lib.ucls.prediction.model import TrainedModel, feature_classifier

OPSETS = range(18, 26)
"""Operator sets that torch's exporter implements and onnxruntime runs."""
LARGEST_DIFFERENCE = 1e-4
"""Largest difference of a probability between onnxruntime and torch with which a file is still written."""

_OUTPUTS = ("probability", "cluster")
_CHECKED_BATCHES = (1, 5)


@dataclass(frozen=True)
class Exportable:
    """What is exported.

    Attributes:
        module: From the input to (probability, cluster), in evaluation mode, on the CPU.
        input_name: ``images`` or ``features``.
        example: An input of a few rows, the batch in front.
        description: What users of the file have to know, JSON values.
    """

    module: nn.Module
    input_name: str
    example: Tensor
    description: dict[str, Any]


def with_backbone(model: TrainedModel, names: Mapping[int, str] | None) -> Exportable:
    """Backbone and classifier: from preprocessed images, float32 (N, 3, H, W)."""
    example = example_images(model.backbone, max(_CHECKED_BATCHES))
    backbone = {"backbone": model.artifact.backbone, "preprocessing": model.backbone.preprocessing.as_fields()}
    return Exportable(
        model.module, "images", example, _description(model.artifact, names, example, "images") | backbone
    )


def without_backbone(artifact: Classifier, names: Mapping[int, str] | None) -> Exportable:
    """The classifier alone: from features, float32 (N, D), the blocks side by side."""
    module = feature_classifier(artifact)
    generator = torch.Generator().manual_seed(0)
    shape = (max(_CHECKED_BATCHES), len(module.linear.mean))
    example = module.linear.mean + torch.randn(shape, generator=generator)
    described = _description(artifact, names, example, "features") | {"backbone": artifact.backbone}
    return Exportable(module, "features", example, described)


def _description(artifact: Classifier, names: Mapping[int, str] | None, example: Tensor, name: str) -> dict[str, Any]:
    return {
        "input": {"name": name, "dtype": "float32", "shape": ["batch", *example.shape[1:]]},
        "outputs": {"probability": ["batch", artifact.classes], "cluster": ["batch"]},
        "classes": artifact.classes,
        "cluster_names": None if names is None else {str(cluster): text for cluster, text in sorted(names.items())},
        "blocks": [{"name": block, "columns": columns} for block, columns in artifact.blocks],
    }


def export_onnx(exportable: Exportable, output: Path, opset: int) -> float:
    """Write ``output`` and, beside it, the description as a JSON file of the same name.

    The ONNX file holds the description too, as metadata: one JSON text a key. The batch may have any size. Models above
    1.8 GB have their weights in ``<output>.data``.

    Args:
        exportable: What to export.
        output: Name of the file, ``*.onnx``; its folder is created.
        opset: Version of the operator set, one of ``OPSETS``.

    Returns:
        Largest difference of a probability between onnxruntime and torch, on random input.

    Raises:
        UserError: A package is not installed, the exporter cannot translate the model, or onnxruntime does not run it
            with equal results.
    """
    check_packages()
    if opset not in OPSETS:
        raise UserError(f"--opset {opset}: allowed are {OPSETS.start} to {OPSETS.stop - 1}")
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}.") as folder:
        temporary = Path(folder) / output.name
        _write(exportable, temporary, opset)
        difference = _largest_difference(exportable, temporary)
        # The weights first: a model file never stands beside the weights of another.
        for path in sorted(Path(folder).iterdir(), key=lambda file: file == temporary):
            path.replace(output.parent / path.name)
    write_json(output.with_suffix(".json"), exportable.description | {"opset": opset})
    return difference


def check_packages() -> None:
    """Refuse to export where the packages for it are not installed.

    Raises:
        UserError: One is absent; the message has the command that installs them.
    """
    absent = absent_packages()
    if absent:
        raise UserError(f"export needs {', '.join(absent)}: {INSTALL}")


def _write(exportable: Exportable, path: Path, opset: int) -> None:
    try:
        model = onnx_model(exportable.module, exportable.example, exportable.input_name, _OUTPUTS, opset)
    except UserError as error:
        raise UserError(f"{error}; try --without-backbone") from None
    found = model.opset_imports[""]
    if found != opset:
        raise UserError(f"--opset {opset}: the exporter gives {found} for this model; use that")
    model.metadata_props.update({key: json.dumps(value) for key, value in exportable.description.items()})
    save_model(model, path)


def _largest_difference(exportable: Exportable, path: Path) -> float:
    """Largest difference of a probability between onnxruntime and torch over the example, in batches of two sizes."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only
    largest = 0.0
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        for size in _CHECKED_BATCHES:
            rows = exportable.example[:size]
            with torch.inference_mode():
                expected = exportable.module(rows)[0].numpy()
            probability, cluster = session.run(None, {exportable.input_name: rows.numpy()})
            largest = max(largest, float(np.abs(probability - expected).max()))
            if not np.array_equal(cluster, probability.argmax(axis=1)):
                raise UserError(f"{path.name}: onnxruntime gives clusters that are not the most probable ones")
    # onnxruntime's errors have no common base below Exception.
    except Exception as error:
        if isinstance(error, UserError):
            raise
        reason = " ".join(str(error).split())
        raise UserError(f"{path.name}: onnxruntime does not run it ({reason[:200]}); try another --opset") from None
    if not largest <= LARGEST_DIFFERENCE:
        raise UserError(
            f"{path.name}: probabilities of onnxruntime differ from torch's by {largest:.2g}; "
            f"at most {LARGEST_DIFFERENCE:.0e} is allowed; try another --opset"
        )
    return largest
