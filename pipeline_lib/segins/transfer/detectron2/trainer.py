"""Starts detectron2's own trainer on an exported checkpoint; detectron2 is imported only then."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from pipeline_lib.base.errors import MissingFileError, UserError
from pipeline_lib.segins.transfer.detectron2.configuration import HEADS

REVISION = "02b5c4e"
_INSTALL = (
    "detectron2 is not installed; it is not in the package index: pip install 'setuptools>=77' wheel ninja, then "
    f"pip install --no-build-isolation 'git+https://github.com/facebookresearch/detectron2@{REVISION}'"
)


def train_with_detectron2(configuration: Path, output: Path) -> Any:
    """Train and evaluate with detectron2, or go on from its last checkpoint in ``output``.

    Args:
        configuration: A file of :func:`pipeline_lib.segins.transfer.detectron2.configuration.write_configuration`.
        output: Folder for detectron2's checkpoints and logs.

    Returns:
        What detectron2's trainer returns: the results of the last evaluation.

    Raises:
        MissingFileError: There is no such configuration.
        UserError: detectron2 is not installed.
    """
    if not configuration.is_file():
        raise MissingFileError(f"{configuration}: not found; export the checkpoint first")
    modules = {
        name: _imported(f"detectron2.{name}") for name in ("config", "engine", "evaluation", "layers", "modeling")
    }
    _register_heads(modules["modeling"], modules["layers"])
    settings = modules["config"].get_cfg()
    settings.merge_from_file(str(configuration))
    settings.OUTPUT_DIR = str(output)
    settings.freeze()
    output.mkdir(parents=True, exist_ok=True)
    modules["engine"].default_setup(settings, None)
    trainer = _trainer_class(modules["engine"], modules["evaluation"])(settings)
    trainer.resume_or_load(resume=True)
    return trainer.train()


def _imported(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != "detectron2":
            raise
        raise UserError(_INSTALL) from None


def _register_heads(modeling: Any, layers: Any) -> None:
    """Register the C4 heads whose res5 ends with a normalisation of its own."""
    if HEADS in modeling.ROI_HEADS_REGISTRY:
        return

    def with_norm(cls: Any, cfg: Any) -> tuple[Any, int]:
        blocks, channels = super(heads, cls)._build_res5_block(cfg)
        blocks.add_module("norm", layers.get_norm(cfg.MODEL.RESNETS.NORM, channels))
        return blocks, channels

    heads: Any = type(HEADS, (modeling.Res5ROIHeads,), {"_build_res5_block": classmethod(with_norm)})
    modeling.ROI_HEADS_REGISTRY.register(heads)


def _trainer_class(engine: Any, evaluation: Any) -> Any:
    def build_evaluator(cls: Any, cfg: Any, dataset_name: str, output_folder: str | None = None) -> Any:  # noqa: ARG001
        if dataset_name.startswith("voc"):
            return evaluation.PascalVOCDetectionEvaluator(dataset_name)
        return evaluation.COCOEvaluator(dataset_name, output_dir=output_folder or f"{cfg.OUTPUT_DIR}/inference")

    return type("Trainer", (engine.DefaultTrainer,), {"build_evaluator": classmethod(build_evaluator)})
