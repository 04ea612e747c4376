"""What runs the backbone over the images: torch, or ONNX Runtime, which is faster for convolutions on a CPU."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipeline_lib.backbones.build import Backbone, example_images
from pipeline_lib.backbones.extractors import FeatureExtractor, PooledExtractor
from pipeline_lib.backbones.onnx_export import INSTALL, absent_packages, onnx_model, save_model
from pipeline_lib.backbones.settings import Engine, EngineName
from pipeline_lib.base.errors import UserError
from pipeline_lib.base.runtime import DeviceType
from pipeline_lib.base.settings import Precision

LARGEST_DIFFERENCE = 1e-4
"""Largest difference from torch's features, as a share of the largest of these where that is above 1."""
WORTH_AN_EXPORT = 4000
"""Images a process from which ``auto`` exports: so many gain what that takes, with EfficientNet-Lite0 on two cores."""

_OPSET = 18
_CHECKED_BATCHES = (1, 5)


@dataclass(frozen=True)
class RunningEngine:
    """What extracts.

    Attributes:
        name: ``torch`` or ``onnxruntime``.
        extractor: Takes the place of the backbone's own.
        warnings: What the user should know of a choice that ``auto`` could not take, a line each.
    """

    name: Engine
    extractor: FeatureExtractor
    warnings: tuple[str, ...] = ()


class OnnxRuntimeExtractor(FeatureExtractor):
    """A backbone's extractor run by ONNX Runtime on the CPU in float32.

    The network is exported when this object is made, and nothing of the export is kept: it cannot be older than weights
    or code.

    Args:
        backbone: The backbone.
        threads: Threads of the session.

    Raises:
        UserError: The network cannot be exported or run, or gives other features than torch.
    """

    def __init__(self, backbone: Backbone, threads: int) -> None:
        super().__init__(backbone.extractor.widths, backbone.extractor.default_blocks)
        example = example_images(backbone, max(_CHECKED_BATCHES))
        model = onnx_model(backbone.extractor, example, "images", ["features"], _OPSET)
        with tempfile.TemporaryDirectory(prefix="backbone.") as folder:
            path = Path(folder) / "backbone.onnx"
            save_model(model, path)
            self._session = _session(path, threads)
        self._check(backbone, example)

    def block_features(self, images: Tensor) -> dict[str, Tensor]:
        """Features of each block: images (B, 3, H, W) to float32 (B, width)."""
        features = self(images)
        return {name: features[:, start:stop] for name, (start, stop) in self.blocks.items()}

    def forward(self, images: Tensor) -> Tensor:
        """Features of all stored blocks side by side: float32 (B, 3, H, W) to (B, d)."""
        (features,) = self._session.run(None, {"images": images.contiguous().numpy()})
        return torch.from_numpy(features)

    def _check(self, backbone: Backbone, example: Tensor) -> None:
        for size in _CHECKED_BATCHES:
            images = example[:size]
            with torch.inference_mode():
                expected = backbone.extractor(images)
            difference = float((self(images) - expected).abs().max())
            if not difference <= LARGEST_DIFFERENCE * max(1.0, float(expected.abs().max())):
                raise UserError(f"features of onnxruntime differ from torch's by {difference:.2g}")


def running_engine(
    engine: EngineName,
    backbone: Backbone,
    *,
    precision: Precision,
    device: DeviceType,
    images: int,
    threads: int,
) -> RunningEngine:
    """Take an engine and make it ready.

    ``auto`` takes ONNX Runtime for convolution networks in float32 on a CPU. Transformers are left to torch: their
    products cost both the same. So are bfloat16, which ONNX Runtime does not compute on a CPU, GPUs, and
    few images.

    Args:
        engine: The setting.
        backbone: The backbone.
        precision: The precision that was taken.
        device: Where the backbone runs.
        images: Images that this process extracts.
        threads: Threads of ONNX Runtime.

    Returns:
        The engine. Where ``auto`` would take ONNX Runtime and it is not installed or cannot run the network: torch, and
        a warning.

    Raises:
        UserError: ``onnxruntime`` is asked for by name and cannot be had.
    """
    by_torch = RunningEngine("torch", backbone.extractor)
    if engine == "torch":
        return by_torch
    if engine == "onnxruntime":
        _refuse_impossible(precision, device)
    elif (
        precision != "float32"
        or device != "cpu"
        or not isinstance(backbone.extractor, PooledExtractor)
        or images < WORTH_AN_EXPORT
    ):
        return by_torch
    try:
        absent = absent_packages()
        if absent:
            raise UserError(f"needs {', '.join(absent)}: {INSTALL}")
        return RunningEngine("onnxruntime", OnnxRuntimeExtractor(backbone, threads))
    except UserError as error:
        if engine == "onnxruntime":
            raise UserError(f"extract.engine = onnxruntime: {error}") from None
        warning = f"extract.engine = auto: torch runs, for onnxruntime, which is faster here, cannot be used: {error}"
        return RunningEngine("torch", backbone.extractor, (warning,))


def _refuse_impossible(precision: Precision, device: DeviceType) -> None:
    if device != "cpu":
        raise UserError(
            f"extract.engine = onnxruntime: runs on the CPU only, the device is {device}; use torch or auto"
        )
    if precision != "float32":
        raise UserError(f"extract.engine = onnxruntime: computes in float32, the precision is {precision}; use torch")


def _session(path: Path, threads: int) -> Any:
    import onnxruntime  # optional

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    # onnxruntime's errors have no common base below Exception.
    except Exception as error:
        raise UserError(f"onnxruntime does not run it ({' '.join(str(error).split())[:200]})") from None
