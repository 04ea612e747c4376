"""Figures of a run for its readers: a gallery of the clusters and the curves of the training."""

from __future__ import annotations

from PIL import Image

from pipeline_lib.artifacts.classifier import open_classifier
from pipeline_lib.artifacts.dataset import open_dataset
from pipeline_lib.artifacts.heads import open_heads
from pipeline_lib.artifacts.neighbors import open_neighbors
from pipeline_lib.data.decoding import decode
from pipeline_lib.report.curves import write_training_curves
from pipeline_lib.report.gallery import cluster_rows, write_gallery
from stages.command_line import StageContext, run_stage

SPLIT = "val"


def run(context: StageContext) -> None:
    """Draw the clusters of the val split and the training of the heads."""
    dataset = open_dataset(context.artifact("datasets"))
    classifier = open_classifier(context.artifact("classifier"))
    heads = open_heads(context.artifact("heads"))
    neighbors = open_neighbors(context.artifact("neighbors"))
    folder = context.root / "reports" / context.run

    def read(row: int) -> Image.Image:
        return decode(dataset.image(SPLIT, row), dataset.name(SPLIT, row))

    predictions = classifier.predictions(SPLIT)
    rows = cluster_rows(predictions.clusters, predictions.probability, classifier.classes)
    write_gallery(folder / "clusters.png", rows, classifier.classes, f"{context.run}, {SPLIT} split", read)
    write_training_curves(
        folder / "training.png", heads.history(), heads.best_head, heads.shape["classes"], neighbors.lengths()
    )
    context.report(f"{len(rows)} of {classifier.classes} clusters shown in {folder / 'clusters.png'}")


if __name__ == "__main__":
    run_stage(run, "report", "Draw the figures of a run.")
