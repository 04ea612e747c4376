"""Linear evaluation and k-NN on a checkpoint's frozen features (thesis 4.3.1)."""

from __future__ import annotations

from torch import nn

from pipeline_lib.artifacts.checkpoint import open_checkpoint
from pipeline_lib.artifacts.dataset import open_dataset
from pipeline_lib.base import runtime
from pipeline_lib.images.normalisation import Normalisation
from pipeline_lib.segins.resnet.build import build_resnet, load_backbone
from pipeline_lib.segins.transfer.linear.evaluation import linear_evaluation
from stages._context import SegInsContext, run_segins_stage
from stages._resumable import ResumableTraining


def run(context: SegInsContext) -> None:
    """Evaluate one checkpoint, or go on from where an interrupted run of the same settings stopped."""
    section = context.params.linear_eval
    fabric = runtime.start(context.params.machine.device, "float32", context.seed)
    dataset = open_dataset(context.images())
    checkpoint = open_checkpoint(context.checkpoint(context.start))
    model = build_resnet(checkpoint.architecture)
    load_backbone(model, checkpoint.backbone(), str(checkpoint.folder))
    normalisation = Normalisation(checkpoint.mean, checkpoint.std)
    inputs = [dataset.folder, checkpoint.folder]
    training = ResumableTraining[nn.Linear](context, fabric, section.model_dump(), inputs)
    measures = linear_evaluation(
        model.to(fabric.device),
        dataset,
        normalisation,
        section,
        fabric.device,
        seed=context.seed,
        workers=context.params.machine.worker_count,
        train=training.run,
    )
    if measures is None:
        return
    context.write_metrics({name: round(value, 4) for name, value in measures.items()})
    training.discard()
    context.report(", ".join(f"{name} {100 * measures[name]:.1f}" for name in ("top1", "top5", "ridge_acc", "knn_acc")))


if __name__ == "__main__":
    run_segins_stage(run, "linear_eval", "Linear classifier and k-NN on frozen features.", ("data", "start"))
