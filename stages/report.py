"""Report of a run for its readers: one HTML page, and pictures."""

from __future__ import annotations

from PIL import Image

from pipeline_lib.artifacts.classifier import open_classifier
from pipeline_lib.artifacts.consensus import open_consensus
from pipeline_lib.artifacts.dataset import open_dataset
from pipeline_lib.artifacts.features import open_features
from pipeline_lib.artifacts.folder import read_origin, write_atomically
from pipeline_lib.artifacts.heads import open_heads
from pipeline_lib.artifacts.metrics import read_metrics
from pipeline_lib.artifacts.neighbors import open_neighbors
from pipeline_lib.features.search_space import SearchSpace
from pipeline_lib.images.decoding import decode
from pipeline_lib.reports.drawing.gallery import cluster_rows, write_gallery
from pipeline_lib.reports.ucls.page import run_page
from pipeline_lib.reports.ucls.run_facts import OracleLabels, RunFacts
from pipeline_lib.reports.ucls.run_panels import run_panels, write_pictures
from pipeline_lib.ucls.neighbors.statistics import oracle_accuracy_by_similarity
from stages._context import StageContext, run_stage

SPLIT = "val"
METRICS = ("ucls", "knn", "consensus")
ARTIFACTS = ("datasets", "features", "neighbors", "heads", "assignments", "consensus", "classifier")


def run(context: StageContext) -> None:
    """Write the page and the pictures of the val split."""
    facts = run_facts(context)
    folder = context.root / "reports" / context.run
    rows = cluster_rows(facts.clusters, facts.probability, facts.count)
    write_gallery(folder / "clusters.png", rows, facts.count, f"{context.run}, {SPLIT} split", facts.read)
    panels = run_panels(facts)
    write_pictures(folder, panels)
    page = run_page(facts, panels).encode()
    write_atomically(folder / "report.html", page)
    context.report(f"{facts.count} clusters in {folder / 'report.html'}, {len(page) / 1e6:.2f} MB")


def run_facts(context: StageContext) -> RunFacts:
    """Collect what the artifacts and metrics of the run say; true labels go to the ``oracle_`` parts only."""
    dataset = open_dataset(context.artifact("datasets"))
    heads = open_heads(context.artifact("heads"))
    neighbors = open_neighbors(context.artifact("neighbors"))
    classifier = open_classifier(context.artifact("classifier"))
    consensus = open_consensus(context.artifact("consensus"))
    predictions = classifier.predictions(SPLIT)
    labels, train_labels = dataset.oracle_labels(SPLIT), dataset.oracle_labels("train")

    def read(row: int) -> Image.Image:
        return decode(dataset.image(SPLIT, row), dataset.name(SPLIT, row))

    return RunFacts(
        data=context.data,
        backbone=context.backbone,
        split=SPLIT,
        measures=read_metrics(context.root / "metrics" / context.run, METRICS, optional=("bounds",)),
        clusters=predictions.clusters,
        probability=predictions.probability,
        agreement=consensus.agreement(SPLIT),
        count=classifier.classes,
        cluster_names=classifier.cluster_names,
        history=heads.history(),
        best_head=heads.best_head,
        list_lengths=neighbors.lengths(),
        threshold=neighbors.settings["threshold"],
        oracle_neighbor_accuracy=(
            None if train_labels is None else oracle_accuracy_by_similarity(neighbors, train_labels)
        ),
        features=SearchSpace(
            open_features(context.artifact("features")).split(SPLIT, heads.blocks),
            centre=neighbors.settings["centred"],
            normalise_blocks=neighbors.settings["normalise_blocks"],
        ),
        image_name=lambda row: dataset.name(SPLIT, row),
        read=read,
        oracle=None if labels is None else OracleLabels(labels, dataset.class_names),
        origins={kind: read_origin(context.artifact(kind)) for kind in ARTIFACTS},
    )


if __name__ == "__main__":
    run_stage(run, "report", "Write the report of a run.")
