"""Report of a SegIns run: tables of thesis chapter 4, pictures, one HTML page, and one flat metrics file."""

from __future__ import annotations

from typing import Any

from pipeline_lib.artifacts.checkpoint import open_checkpoint
from pipeline_lib.artifacts.folder import write_atomically, write_json
from pipeline_lib.artifacts.metrics import read_metrics
from pipeline_lib.experiments.measures import METHODS
from pipeline_lib.experiments.published import CHAPTER_4, load_published
from pipeline_lib.reports.segins.measures import flat_metrics, measures_by_start
from pipeline_lib.reports.segins.page import Picture, SegInsFacts, segins_page
from pipeline_lib.reports.segins.pretrainings import collapsed, network_text, pretraining_panels
from pipeline_lib.reports.segins.tables import thesis_tables
from stages._context import SegInsContext, run_segins_stage
from stages._segins_report_parts import comparison_pictures, stage_origins


def run(context: SegInsContext) -> None:
    """Write page, pictures and metrics."""
    suite, params = context.params.segins_suite, context.params
    metrics = context.root / "metrics" / "segins" / context.data
    folder = context.root / "reports" / f"segins-{context.data}"
    measures = measures_by_start(metrics, suite.start, suite.target, params.detection.metric == "coco")
    flat = flat_metrics(measures, suite.method)
    write_json(context.root / "metrics" / f"{context.data}-segins.json", flat)
    checkpoints = {name: open_checkpoint(context.checkpoint(name)) for name in suite.pretrained()}
    masks: dict[str, dict[str, Any]] = {method: read_metrics(metrics, (f"masks-{method}",)) for method in suite.method}
    origins = stage_origins(context)
    facts = SegInsFacts(
        data=context.data,
        network=network_text(checkpoints, origins),
        targets=suite.target,
        tables=tuple(thesis_tables(measures, load_published(CHAPTER_4), row_settings(context))),
        gains={
            method: {
                key: flat[f"{method}_gain_{key}"]
                for key in measures.get(f"{method}-segins", {})
                if f"{method}_gain_{key}" in flat
            }
            for method in suite.method
        },
        masks=masks,
        collapsed=tuple(name for name, found in checkpoints.items() if collapsed(found)),
        panels=pretraining_panels({name: found.history for name, found in checkpoints.items()}),
        mask_pictures=[
            Picture(
                folder / f"masks-{method}.png",
                f"Pseudo-masks from {METHODS[method]}: image, soft map, mask, cut out, truth",
            )
            for method in suite.method
        ],
        transfer_pictures=[part for target in suite.target for part in comparison_pictures(context, target, folder)],
        origins=origins,
    )
    page = segins_page(facts).encode()
    write_atomically(folder / "report.html", page)
    context.report(f"{len(measures)} starts in {folder / 'report.html'}, {len(page) / 1e6:.2f} MB")


def row_settings(context: SegInsContext) -> dict[str, str]:
    """What this run's SegIns rows vary in Tables 4.6 to 4.8."""
    segins = context.params.segins
    return {"4.6": f"λ {segins.weight_for('moco'):g}", "4.7": segins.loss, "4.8": context.params.masks.source}


if __name__ == "__main__":
    run_segins_stage(run, "segins_report", "Write the report of a SegIns run.", ("data",))
