"""Part ``generate``: the artifacts that the stages begin with: images without pixels, their features, the classes."""

from __future__ import annotations

import shutil

from benchmarks.generated import MADE_BY, GeneratedRows, write_generated
from benchmarks.imagenet_parts.stage_runs import context_of, folder_bytes
from benchmarks.measuring import Part
from pipeline_lib.artifacts.class_count import write_class_count
from pipeline_lib.artifacts.dataset_writer import DatasetWriter
from pipeline_lib.base.errors import UserError

LARGEST_BYTES = 12 * 10**9


def run(part: Part) -> None:
    """Write them.

    Raises:
        UserError: They would take more than 12 GB, or than is free.
    """
    images, held_out = part.options["images"], part.options["held_out"]
    columns, classes = part.options["columns"], part.options["classes"]
    # Features, the longest of the later artifacts (lists or probabilities) and a quarter for the rest.
    needed = int(
        1.25 * ((images + held_out) * 2 * columns + images * max(2 * classes, 6 * part.options["mean_length"]))
    )
    allowed = min(LARGEST_BYTES, shutil.disk_usage(part.folder).free)
    if needed > allowed:
        raise UserError(
            f"--images {images} --columns {columns}: about {needed / 1e9:.1f} GB of files; at most "
            f"{allowed / 1e9:.1f} GB may be written"
        )
    context = context_of(part, "generate")
    rows = GeneratedRows(columns, classes, part.device)
    splits = {"train": images, "val": held_out}
    folder = context.artifact("features")
    seconds = part.seconds(lambda: write_generated(folder, splits, rows, columns))
    part.row("features", generated_seconds=seconds, generated_gib=folder_bytes(folder) / 2**30, **part.peaks())
    with DatasetWriter(context.artifact("datasets"), None, part.folder, MADE_BY) as writer:
        number = 0
        for split, count in splits.items():
            for label in rows.labels(count).tolist():
                writer.add(number, split, path=f"{number}.jpg", label=label)
                number += 1
    write_class_count(context.artifact("classes"), classes=classes, made_by=MADE_BY)
