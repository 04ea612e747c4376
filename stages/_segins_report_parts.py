"""What the report of a SegIns run reads from artifacts: where they come from, and pictures of the transfers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image

from pipeline_lib.artifacts.dataset import open_dataset
from pipeline_lib.artifacts.detections import open_detections
from pipeline_lib.artifacts.folder import read_origin
from pipeline_lib.artifacts.objects import open_objects
from pipeline_lib.artifacts.segmentations import open_segmentations
from pipeline_lib.experiments.measures import METHODS
from pipeline_lib.images.decoding import decode
from pipeline_lib.reports.segins.comparisons import write_detections, write_segmentations
from pipeline_lib.reports.segins.page import Picture
from stages._context import SegInsContext


def stage_origins(context: SegInsContext) -> dict[str, dict[str, Any]]:
    """Where checkpoints, masks and transfers come from; all starts have the transfer settings of the first."""
    suite, data = context.params.segins_suite, context.root / "data"
    folders = {name: context.checkpoint(name) for name in suite.pretrained()}
    folders |= {f"masks of {METHODS[method]}": data / "masks" / context.data / method for method in suite.method}
    for kind in ("detection", "segmentation"):
        for target in suite.target:
            folder = data / "transfer" / context.data / f"{kind}-{suite.start[0]}-{target}"
            folders[f"{kind} on {target}"] = folder
    return {title: read_origin(folder) for title, folder in folders.items()}


def comparison_pictures(context: SegInsContext, target: str, folder: Path) -> list[Picture]:
    """Detections and segmentations of all starts on one data set."""
    dataset, objects = open_dataset(context.images(target)), open_objects(context.objects(target))
    rows = {int(image_id): row for row, image_id in enumerate(dataset.ids("val").tolist())}

    def read(image_id: int) -> Image.Image:
        return decode(dataset.image("val", rows[image_id]), dataset.name("val", rows[image_id]))

    transfer = context.root / "data" / "transfer" / context.data
    starts = context.params.segins_suite.start
    boxes = {start: open_detections(transfer / f"detection-{start}-{target}") for start in starts}
    maps = {start: open_segmentations(transfer / f"segmentation-{start}-{target}") for start in starts}
    # dvc.yaml names the pictures of the first target, which every suite has.
    suffix = "" if target == context.params.segins_suite.target[0] else f"-{target}"
    files = [folder / f"{kind}{suffix}.png" for kind in ("detections", "segmentations")]
    write_detections(files[0], boxes, objects, read)
    write_segmentations(files[1], maps, context.params.segmentation.modes[-1], objects, read)
    titles = (
        f"Detections on {target} of each baseline and its SegIns, and the truth (as in Figure 4.1)",
        f"Segmentations of {target}, likewise",
    )
    return [Picture(file, title) for file, title in zip(files, titles, strict=True)]
