"""Writes the classifier, with or without its backbone, as an ONNX file that is checked against torch."""

from __future__ import annotations

import importlib.util
import json
import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pipeline_lib.artifacts.classifier import Classifier
from pipeline_lib.artifacts.folder import write_json
from pipeline_lib.base.errors import UserError
from pipeline_lib.ucls.prediction.model import TrainedModel, example_images, feature_classifier

OPSETS = range(18, 26)
"""Operator sets that torch's exporter implements and onnxruntime runs."""
LARGEST_DIFFERENCE = 1e-4
"""Largest difference of a probability between onnxruntime and torch with which a file is still written."""

_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
_INSTALL = "pip install onnx onnxscript onnxruntime"
# Above this the weights go into a file beside: a single ONNX file cannot exceed 2 GB.
_LARGEST_SINGLE_FILE = 1_800_000_000
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
    absent = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if absent:
        raise UserError(f"export needs {', '.join(absent)}: {_INSTALL}")


def _write(exportable: Exportable, path: Path, opset: int) -> None:
    import onnx_ir  # comes with onnxscript; optional, like all that only the export needs

    batch = torch.export.Dim("batch")
    with _quiet():
        try:
            program = torch.onnx.export(
                exportable.module,
                (exportable.example,),
                dynamo=True,
                input_names=[exportable.input_name],
                output_names=["probability", "cluster"],
                dynamic_shapes=({0: batch},),
                opset_version=opset,
                verbose=False,
            )
        except (torch.onnx.OnnxExporterError, RuntimeError) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise UserError(f"this model cannot be exported to ONNX ({reason}); try --without-backbone") from None
    if program is None:
        raise RuntimeError("torch.onnx.export returned no program")
    model = program.model
    found = model.opset_imports[""]
    if found != opset:
        raise UserError(f"--opset {opset}: the exporter gives {found} for this model; use that")
    _forget_origin(model)
    model.metadata_props.update({key: json.dumps(value) for key, value in exportable.description.items()})
    size = sum(value.const_value.nbytes for value in model.graph.initializers.values() if value.const_value is not None)
    onnx_ir.save(model, path, external_data=f"{path.name}.data" if size > _LARGEST_SINGLE_FILE else None)


def _forget_origin(model: Any) -> None:
    """Remove what the exporter notes of where each node comes from: lines of code with their paths on this machine."""
    for graph in (model.graph, *(function.graph for function in model.functions.values())):
        graph.metadata_props.clear()
        graph.doc_string = None
        for node in graph.all_nodes():
            node.metadata_props.clear()
            node.doc_string = None
            for value in node.outputs:
                value.metadata_props.clear()
        for value in (*graph.inputs, *graph.initializers.values()):
            value.metadata_props.clear()


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


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep back what torch's exporter says to its developers."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
