"""Prepare the images of a data set, and the boxes and masks of their objects where the data set has them."""

from __future__ import annotations

from pipeline_lib.artifacts.dataset import open_dataset
from pipeline_lib.images.objects import prepare_objects
from pipeline_lib.images.preparation import prepare_dataset
from pipeline_lib.images.sources.registry import open_annotated_source
from stages._context import SegInsContext, run_segins_stage


def run(context: SegInsContext) -> None:
    """Write ``data/annotated/<data>/images`` and ``data/annotated/<data>/objects``."""
    section, workers = context.params.prepare, context.params.machine.worker_count
    facts = context.params.datasets[context.data]
    made_by = context.made_by(section.model_dump() | facts.recorded())
    annotated = open_annotated_source(facts.source, context.artifact("raw"), **facts.reading())
    images = prepare_dataset(
        annotated.source,
        context.images(),
        unreadable=section.unreadable,
        val_fraction=section.val_fraction,
        limit_per_split=section.limit_per_split,
        seed=section.seed,
        workers=workers,
        made_by=made_by,
    )
    objects = prepare_objects(
        annotated, open_dataset(context.images()), context.objects(), workers=workers, made_by=made_by
    )
    context.write_metrics(images | objects)
    context.report(
        f"{images['images']} images, {images['unreadable']} unreadable; {objects['objects']} objects, "
        f"{objects['objects_with_mask']} with masks; {objects['images_with_segmentation']} images with segmentation"
    )


if __name__ == "__main__":
    run_segins_stage(run, "annotate", "Prepare images and their objects.", ("data",))
