"""Read a data set's images, check that each can be decoded, and write the dataset artifact."""

from __future__ import annotations

from pipeline_lib.images.preparation import prepare_dataset
from pipeline_lib.images.sources.registry import open_source
from stages._context import StageContext, run_stage


def run(context: StageContext) -> None:
    """Prepare one data set; files that cannot be decoded are listed in the metrics or stop the run."""
    section = context.params.prepare
    facts = context.params.datasets[context.data]
    source = open_source(facts.source, context.artifact("raw"), **facts.reading())
    metrics = prepare_dataset(
        source,
        context.artifact("datasets"),
        unreadable=section.unreadable,
        val_fraction=section.val_fraction,
        limit_per_split=section.limit_per_split,
        seed=section.seed,
        workers=context.params.machine.worker_count,
        made_by=context.made_by(section.model_dump() | facts.recorded()),
    )
    context.write_metrics(metrics)
    context.report(f"{metrics['images']} images, {metrics['unreadable']} unreadable")


if __name__ == "__main__":
    run_stage(run, "prepare", "Prepare a data set.", with_backbone=False)
