"""Objects against the background by a closed-form linear function of a checkpoint's frozen features."""

from __future__ import annotations

from pipeline_lib.artifacts.checkpoint import open_checkpoint
from pipeline_lib.artifacts.dataset import open_dataset
from pipeline_lib.artifacts.objects import open_objects
from pipeline_lib.base import runtime
from pipeline_lib.images.normalisation import Normalisation
from pipeline_lib.segins.resnet.build import build_resnet, load_backbone, stage_channels
from pipeline_lib.segins.transfer.dense_probe.evaluation import dense_probe
from stages._context import SegInsContext, run_segins_stage


def run(context: SegInsContext) -> None:
    """Evaluate one checkpoint."""
    fabric = runtime.start(context.params.machine.device, "float32", context.seed)
    checkpoint = open_checkpoint(context.checkpoint(context.start))
    model = build_resnet(checkpoint.architecture)
    load_backbone(model, checkpoint.backbone(), str(checkpoint.folder))
    measures = dense_probe(
        model.to(fabric.device),
        stage_channels(checkpoint.architecture),
        open_dataset(context.images(context.target)),
        open_objects(context.objects(context.target)),
        Normalisation(checkpoint.mean, checkpoint.std),
        context.params.dense_probe,
        fabric.device,
    )
    context.write_metrics({name: round(value, 4) for name, value in measures.items()})
    found = ", ".join(f"{name} {100 * measures[name]:.1f}" for name in ("pixel_ap", "deep_pixel_ap", "object_share"))
    context.report(found)


if __name__ == "__main__":
    run_segins_stage(
        run, "dense_probe", "Closed-form probe of objects on frozen features.", ("data", "start", "target")
    )
