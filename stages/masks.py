"""Class-agnostic pseudo-masks of the training images (thesis 3.1.2), scored where truth exists."""

from __future__ import annotations

from functools import partial

from PIL import Image

from pipeline_lib.artifacts.checkpoint import open_checkpoint
from pipeline_lib.artifacts.dataset import Dataset, open_dataset
from pipeline_lib.artifacts.masks import write_masks
from pipeline_lib.artifacts.objects import open_objects
from pipeline_lib.backbones.build import Backbone, build_backbone
from pipeline_lib.base import runtime
from pipeline_lib.base.errors import UserError
from pipeline_lib.images.decoding import decode
from pipeline_lib.reports.segins.mask_gallery import MaskSample, sample_rows, write_mask_gallery
from pipeline_lib.segins.masks.batches import image_batches
from pipeline_lib.segins.masks.building import MaskInputs, mask_source
from pipeline_lib.segins.masks.collecting import CollectedMasks
from pipeline_lib.segins.masks.truth import image_truth
from stages._context import SegInsContext, run_segins_stage


def run(context: SegInsContext) -> None:
    """Make the masks, score them and draw some."""
    section, machine = context.params.masks, context.params.machine
    fabric = runtime.start(machine.device, seed=context.seed)
    dataset, objects = open_dataset(context.images()), open_objects(context.objects())
    ids = dataset.ids("train")
    read = partial(_decoded, dataset)
    baseline = context.checkpoint(f"{context.method}-baseline")
    source = mask_source(
        MaskInputs(section, fabric, dataset, objects, partial(open_checkpoint, baseline), partial(_backbone, context))
    )
    batches = image_batches(
        len(ids),
        read,
        source.image_input,
        batch_size=section.batch_size,
        longest_side=section.longest_side,
        seed=context.seed,
        workers=machine.worker_count,
        rank=fabric.global_rank,
        processes=fabric.world_size,
        pinned=fabric.device.type == "cuda",
    )
    collected = CollectedMasks(
        len(ids),
        lambda row, image_size, size: image_truth(objects, int(ids[row]), image_size, size),
        section.centre_share,
        sample_rows(len(ids)),
    )
    with runtime.fixed_shapes():
        collected.add_all(source.make(batches))
    if not fabric.is_global_zero:
        return
    summary = collected.summary()
    context.write_metrics({"source": section.source, **source.facts, **collected.metrics()})
    write_masks(
        context.masks(),
        collected.in_order(),
        dataset,
        source=section.source,
        threshold=source.facts.get("threshold"),
        made_by=context.made_by(section.model_dump() | {"seed": context.seed}),
    )
    samples = []
    for row, (made, truth) in sorted(collected.samples.items()):
        objects_of_row, boxes = (None, None) if truth is None else (truth.on_objects, truth.boxes)
        samples.append(MaskSample(read(row), made.soft, made.mask, objects_of_row, boxes))
    picture = context.root / "reports" / f"segins-{context.data}" / f"masks-{context.method}.png"
    write_mask_gallery(picture, samples, f"{context.data}: {section.source}, {context.method}", summary)
    context.report(summary)


def _backbone(context: SegInsContext, key: str) -> Backbone:
    if key not in context.params.backbones:
        raise UserError(f"masks.backbone = {key}: not one of {', '.join(context.params.backbones)}")
    return build_backbone(context.params.backbones[key])


def _decoded(dataset: Dataset, row: int) -> Image.Image:
    return decode(dataset.image("train", row), dataset.name("train", row))


if __name__ == "__main__":
    run_segins_stage(run, "masks", "Make class-agnostic pseudo-masks of the training images.", ("data", "method"))
