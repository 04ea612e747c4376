"""How large a prepared data set is (thesis Table 6.1); a measure of experiments."""

from __future__ import annotations

from typing import Any

from pipeline_lib.artifacts.dataset import open_dataset
from stages._context import StageContext, run_stage


def run(context: StageContext) -> None:
    """Write the number of images of each split, and of classes where they have names."""
    dataset = open_dataset(context.artifact("datasets"))
    metrics: dict[str, Any] = {f"images_{split}": count for split, count in dataset.splits.items()}
    if dataset.class_names is not None:
        metrics["classes"] = len(dataset.class_names)
    context.write_metrics(metrics)


if __name__ == "__main__":
    run_stage(run, "data_set", "Measure a data set.", with_backbone=False, package="commands.measures")
