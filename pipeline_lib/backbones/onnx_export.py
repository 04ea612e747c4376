"""From a torch module to an ONNX file: what exported models and extraction by ONNX Runtime share."""

from __future__ import annotations

import importlib.util
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pipeline_lib.base.errors import UserError

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
INSTALL = "pip install onnx onnxscript onnxruntime"
# Above this the weights go into a file beside: a single ONNX file cannot exceed 2 GB.
_LARGEST_SINGLE_FILE = 1_800_000_000


def absent_packages() -> list[str]:
    """Packages of the export that are not installed."""
    return [name for name in PACKAGES if importlib.util.find_spec(name) is None]


def onnx_model(module: nn.Module, example: Tensor, inputs: str, outputs: Sequence[str], opset: int) -> Any:
    """Translate a module; the batch may have any size.

    Args:
        module: In evaluation mode, on the CPU.
        example: An input of at least two rows, the batch in front.
        inputs: Name of the input.
        outputs: Names of the outputs.
        opset: Version of the operator set.

    Returns:
        An ``onnx_ir.Model`` that says nothing of where it was made.

    Raises:
        UserError: The exporter cannot translate the module.
    """
    batch = torch.export.Dim("batch")
    with _quiet():
        try:
            program = torch.onnx.export(
                module,
                (example,),
                dynamo=True,
                input_names=[inputs],
                output_names=list(outputs),
                dynamic_shapes=({0: batch},),
                opset_version=opset,
                verbose=False,
            )
        except (torch.onnx.OnnxExporterError, RuntimeError) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise UserError(f"this model cannot be exported to ONNX ({reason})") from None
    if program is None:
        raise RuntimeError("torch.onnx.export returned no program")
    _forget_origin(program.model)
    return program.model


def save_model(model: Any, path: Path) -> None:
    """Write the file, and the weights of large models into ``<name>.data`` beside it."""
    import onnx_ir  # comes with onnxscript; optional, like all that only the export needs

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
