"""How often neighbours are right by similarity (thesis Table 6.16, Figure 6.3); a measure of experiments."""

from __future__ import annotations

from pipeline_lib.artifacts.dataset import open_dataset
from pipeline_lib.artifacts.neighbors import open_neighbors
from pipeline_lib.ucls.neighbors.statistics import oracle_accuracy_by_similarity
from stages._context import StageContext, run_stage


def run(context: StageContext) -> None:
    """Write the share of right labels above each tenth of similarity, where there are labels and pairs."""
    labels = open_dataset(context.artifact("datasets")).oracle_labels("train")
    if labels is None:
        context.write_metrics({})
        return
    table = oracle_accuracy_by_similarity(open_neighbors(context.artifact("neighbors")), labels)
    above = zip(table["from"], table["oracle_accuracy_above"], strict=True)
    context.write_metrics({f"oracle_accuracy_above_{edge}": share for edge, share in above if share is not None})


if __name__ == "__main__":
    run_stage(run, "similarity", "Measure how often neighbours are right by similarity.", package="commands.measures")
