"""A start of the transfer that is not trained here: random weights, or a file."""

from __future__ import annotations

from pathlib import Path
from typing import assert_never

import torch

from pipeline_lib.artifacts.checkpoint import write_checkpoint
from pipeline_lib.backbones.state_files import read_state
from pipeline_lib.segins.resnet.build import build_resnet
from pipeline_lib.segins.resnet.state_files import ResNetState, check_architecture, resnet_state
from stages._context import SegInsContext, run_segins_stage


def run(context: SegInsContext) -> None:
    """Write the checkpoint that ``checkpoints.<name>`` describes."""
    given = context.params.checkpoints[context.start]
    match given.source:
        case "random":
            architecture = context.params.pretrain.architecture if given.architecture == "auto" else given.architecture
            torch.manual_seed(context.seed)
            found = ResNetState(architecture, None, dict(build_resnet(architecture).state_dict()), None)
        case "file":
            where = f"checkpoints.{context.start}.path = {given.path}"
            found = resnet_state(read_state(Path(given.path or ""), f"checkpoints.{context.start}.path"), where)
            check_architecture(found, given.architecture, f"checkpoints.{context.start}.architecture", where)
        case _:
            assert_never(given.source)
    write_checkpoint(
        context.checkpoint(context.start),
        architecture=found.architecture,
        method=found.method,
        origin=context.start,
        backbone=found.backbone,
        projector=found.projector,
        history=[],
        made_by=context.made_by(given.model_dump() | {"seed": context.seed}),
    )
    context.report(f"{found.architecture}, {given.source if given.path is None else given.path}")


if __name__ == "__main__":
    run_segins_stage(run, "given_checkpoint", "Write a checkpoint that is not trained here.", ("data", "given"))
