"""How evenly the best head uses its clusters on each split (thesis 6.4.1.4, Figure 6.2); a measure of experiments."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline_lib.artifacts.assignments import open_assignments
from pipeline_lib.ucls.evaluation.usage import cluster_usage
from stages._context import StageContext, run_stage


def run(context: StageContext) -> None:
    """Write the KL divergence from uniform and the sizes of the clusters, of each split."""
    assignments = open_assignments(context.artifact("assignments"))
    metrics: dict[str, Any] = {}
    for split in assignments.splits:
        labels = assignments.labels(split)[assignments.best_head]
        metrics[f"{split}_kl_to_uniform"] = cluster_usage(labels, assignments.classes).kl_to_uniform
        metrics[f"{split}_sizes"] = np.bincount(labels, minlength=assignments.classes).tolist()
    context.write_metrics(metrics)


if __name__ == "__main__":
    run_stage(run, "cluster_use", "Measure how evenly the best head uses its clusters.", package="commands.measures")
