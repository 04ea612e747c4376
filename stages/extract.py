"""Features of the frozen backbone for every image of a data set (thesis 5.2.2, 5.2.6)."""

from __future__ import annotations

from pathlib import Path

import pipeline_lib
from pipeline_lib.artifacts.dataset import open_dataset
from pipeline_lib.artifacts.features_writer import FeaturesWriter
from pipeline_lib.artifacts.folder import file_digest
from pipeline_lib.artifacts.resume import run_fingerprint
from pipeline_lib.artifacts.unfinished import Unfinished
from pipeline_lib.backbones.build import build_backbone
from pipeline_lib.backbones.engines import running_engine
from pipeline_lib.backbones.extraction import extract_features
from pipeline_lib.base import runtime
from pipeline_lib.images.decoding import decode
from pipeline_lib.images.transforms import image_loader
from stages._context import StageContext, run_stage, warn
from stages._precision import check_equal_precision, with_precision


def run(context: StageContext) -> None:
    """Run the backbone, in one process or in those that torchrun launched."""
    machine = context.params.machine
    section, precision = with_precision(context.params.extract.of_engine(), machine.device)
    fabric = runtime.start(machine.device, precision)
    check_equal_precision(precision)
    folder = context.artifact("datasets")
    dataset = open_dataset(folder)
    width, height = decode(dataset.image("train", 0)).size
    backbone = build_backbone(context.params.backbones[context.backbone], native_size=(height, width))
    engine = running_engine(
        section.engine,
        backbone,
        precision=precision,
        device=runtime.device_type(machine.device),
        images=sum(dataset.splits.values()) // fabric.world_size,
        threads=machine.thread_count,
    )
    if fabric.is_global_zero:
        warn(engine.warnings)
    taken = {"precision": precision, "engine": engine.name}
    settings = section.model_dump() | taken
    facts = settings | {"backbone": backbone.facts(), "processes": fabric.world_size}
    unfinished = Unfinished(
        context.stage,
        context.run,
        run_fingerprint(facts, [Path(pipeline_lib.__file__).parent], [folder]),
        rank=fabric.global_rank,
        seconds=machine.checkpoint_seconds,
    )
    if unfinished.found:
        fabric.print(f"extract@{context.run}: going on after {sum(map(unfinished.done, dataset.splits))} images")
    writer = FeaturesWriter(
        context.artifact("features"),
        splits=dataset.splits,
        blocks=backbone.extractor.blocks,
        default_blocks=backbone.extractor.default_blocks,
        storage=section.storage,
        backbone=backbone.facts() | taken,
        dataset_digest=file_digest(folder / "images.parquet"),
        made_by=context.made_by(settings),
        unfinished=unfinished,
    )
    transform = backbone.transform()
    measures = extract_features(
        fabric,
        engine.extractor,
        lambda split, rows: image_loader(dataset, split, rows, transform, section.batch_size, machine.worker_count),
        writer,
    )
    if fabric.is_global_zero:
        speed = f"{measures['images_per_second']:.0f} images/s"
        context.report(f"{measures['images']:.0f} images, {speed} by {engine.name} in {precision}")


if __name__ == "__main__":
    run_stage(run, "extract", "Extract the features of all images.")
