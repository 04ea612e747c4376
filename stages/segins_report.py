"""Report of a SegIns run: tables of thesis chapter 4, pictures, one HTML page, and one flat metrics file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image

from pipeline_lib.artifacts.checkpoint import Checkpoint, open_checkpoint
from pipeline_lib.artifacts.dataset import open_dataset
from pipeline_lib.artifacts.detections import open_detections
from pipeline_lib.artifacts.folder import write_atomically, write_json
from pipeline_lib.artifacts.metrics import read_metrics
from pipeline_lib.artifacts.objects import open_objects
from pipeline_lib.artifacts.origin import read_origin
from pipeline_lib.artifacts.segmentations import open_segmentations
from pipeline_lib.data.decoding import decode
from pipeline_lib.segins_report.comparisons import write_detections, write_segmentations
from pipeline_lib.segins_report.curves import pretraining_panels
from pipeline_lib.segins_report.figures import figures_by_start, flat_metrics
from pipeline_lib.segins_report.page import Picture, SegInsFacts, segins_page
from pipeline_lib.segins_report.published import load_published
from pipeline_lib.segins_report.tables import TITLES, thesis_tables
from stages.segins_command_line import SegInsContext, run_segins_stage


def run(context: SegInsContext) -> None:
    """Write page, pictures and metrics."""
    suite, params = context.params.segins_suite, context.params
    metrics = context.root / "metrics" / "segins" / context.data
    folder = context.root / "reports" / f"segins-{context.data}"
    figures = figures_by_start(metrics, suite.start, suite.target, params.detection.metric == "coco")
    flat = flat_metrics(figures, suite.method)
    write_json(context.root / "metrics" / f"{context.data}-segins.json", flat)
    checkpoints = {name: open_checkpoint(context.checkpoint(name)) for name in suite.pretrained()}
    masks: dict[str, dict[str, Any]] = {method: read_metrics(metrics, (f"masks-{method}",)) for method in suite.method}
    facts = SegInsFacts(
        data=context.data,
        targets=suite.target,
        tables=tuple(thesis_tables(figures, load_published(), row_settings(context))),
        gains={
            method: {
                TITLES.get(key, key): flat[f"{method}_gain_{key}"]
                for key in figures.get(f"{method}-segins", {})
                if f"{method}_gain_{key}" in flat
            }
            for method in suite.method
        },
        masks=masks,
        collapsed=tuple(name for name, found in checkpoints.items() if collapsed(found)),
        panels=pretraining_panels({name: found.history for name, found in checkpoints.items()}),
        mask_pictures=[
            Picture(folder / f"masks-{method}.png", f"Pseudo-masks of {method}: image, soft map, mask, truth")
            for method in suite.method
        ],
        transfer_pictures=[part for target in suite.target for part in comparison_pictures(context, target, folder)],
        origins={name: read_origin(found.folder) for name, found in checkpoints.items()},
    )
    page = segins_page(facts).encode()
    write_atomically(folder / "report.html", page)
    context.report(f"{len(figures)} starts in {folder / 'report.html'}, {len(page) / 1e6:.2f} MB")


def collapsed(checkpoint: Checkpoint) -> bool:
    """Whether the last look at a checkpoint's embeddings found them collapsed."""
    return bool(checkpoint.history and checkpoint.history[-1].get("collapsed"))


def row_settings(context: SegInsContext) -> dict[str, str]:
    """What this run's SegIns rows vary in Tables 4.6 to 4.8."""
    segins = context.params.segins
    weight = "λ auto" if segins.weight == "auto" else f"λ {segins.weight:g}"
    return {"4.6": weight, "4.7": segins.loss, "4.8": context.params.masks.source}


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
    titles = (f"Detections on {target} from each start, and the truth", f"Segmentations of {target}, likewise")
    return [Picture(file, title) for file, title in zip(files, titles, strict=True)]


if __name__ == "__main__":
    run_segins_stage(run, "segins_report", "Write the report of a SegIns run.", ("data",))
