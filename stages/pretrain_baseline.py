"""Pretrain with instance discrimination, or take over a finished pretraining from a file (thesis 3.1.1)."""

from __future__ import annotations

from pathlib import Path

from pipeline_lib.artifacts.checkpoint import write_checkpoint
from pipeline_lib.backbones.state_files import read_state
from pipeline_lib.segins.resnet.state_files import check_architecture, check_method, resnet_state
from stages._context import SegInsContext, run_segins_stage
from stages._pretraining import train


def run(context: SegInsContext) -> None:
    """Train from random weights, or take the file that ``baseline`` in the method's section names."""
    file = context.params.method_settings(context.method).finished
    if file is None:
        train(context, "baseline", None, None)
    else:
        take_over(context, Path(file))


def take_over(context: SegInsContext, file: Path) -> None:
    """Write a finished pretraining's backbone and projector as the baseline's checkpoint."""
    parameter = f"{context.method}.baseline"
    where = f"{parameter} = {file}"
    found = resnet_state(read_state(file, parameter), where)
    check_architecture(found, context.params.pretrain.architecture, "pretrain.architecture", where)
    check_method(found, context.method, where)
    write_checkpoint(
        context.checkpoint(f"{context.method}-baseline"),
        architecture=found.architecture,
        method=context.method,
        origin="baseline",
        backbone=found.backbone,
        projector=found.projector,
        history=[],
        made_by=context.made_by({parameter: str(file)}),
    )
    context.write_metrics({"taken_from": file.name, "projector": found.projector is not None})
    context.report(f"{found.architecture} taken from {file}")


if __name__ == "__main__":
    run_segins_stage(run, "pretrain_baseline", "Pretrain a ResNet.", ("data", "method"))
