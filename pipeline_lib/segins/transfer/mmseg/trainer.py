"""Starts mmsegmentation's own trainer on an exported checkpoint; mmsegmentation is imported only then."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any

from pipeline_lib.base import torchvision_import  # noqa: F401
from pipeline_lib.base.errors import MissingFileError, UserError

_PACKAGES = ("mmseg", "mmcv", "mmengine")
_INSTALL = "mmsegmentation is not installed: pip install '.[mmseg]'"


def train_with_mmseg(configuration: Path, output: Path) -> dict[str, float]:
    """Train and evaluate with mmsegmentation, or go on from its last checkpoint in ``output``.

    mmsegmentation unpickles its checkpoints, which can run code: ``output`` must not hold files of others.

    Args:
        configuration: A file of :func:`pipeline_lib.segins.transfer.mmseg.configuration.write_configuration`.
        output: Folder for mmsegmentation's checkpoints and logs.

    Returns:
        ``mIoU``, ``aAcc`` and ``mAcc`` of the last weights on the split val, in percent.

    Raises:
        MissingFileError: There is no such configuration.
        UserError: mmsegmentation is not installed.
    """
    if not configuration.is_file():
        raise MissingFileError(f"{configuration}: not found; export the checkpoint first")
    settings = loaded_configuration(configuration)
    settings.work_dir = str(output)
    # Without a file to load from, this takes the last checkpoint of the folder, if there is one.
    settings.resume = True
    runner = _imported("mmengine.runner").Runner.from_cfg(settings)
    runner.train()
    return {name: float(value) for name, value in runner.test().items()}


def loaded_configuration(configuration: Path) -> Any:
    """Read a configuration and fit it to the processes that ``torchrun`` launched, or to one.

    Args:
        configuration: A file of :func:`pipeline_lib.segins.transfer.mmseg.configuration.write_configuration`.

    Returns:
        mmengine's ``Config``.

    Raises:
        UserError: mmsegmentation is not installed, or the batch cannot be split over the processes.
    """
    utilities = _imported("mmseg.utils")
    settings = _imported("mmengine.config").Config.fromfile(str(configuration))
    utilities.register_all_modules(init_default_scope=True)
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if processes == 1:
        # Synchronised batch normalisation needs a process group.
        settings.model.backbone.norm_cfg.type = "BN"
        return settings
    batch_size = settings.train_dataloader.batch_size
    if batch_size % processes:
        raise UserError(f"segmentation.batch_size = {batch_size}: not a multiple of {processes} processes")
    settings.train_dataloader.batch_size = batch_size // processes
    settings.launcher = "pytorch"
    return settings


def _imported(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in _PACKAGES:
            raise
        raise UserError(_INSTALL) from None
