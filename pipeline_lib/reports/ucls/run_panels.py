"""All pictures of a run, drawn from its facts; and the same as PNG files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline_lib.reports.drawing.curves import training_panels
from pipeline_lib.reports.drawing.panels import Panel, write_message, write_panels
from pipeline_lib.reports.ucls.confusion import confusion_panel
from pipeline_lib.reports.ucls.feature_map import FeatureMap, feature_map
from pipeline_lib.reports.ucls.map_panel import map_panel
from pipeline_lib.reports.ucls.neighbor_panels import neighbor_panels
from pipeline_lib.reports.ucls.run_facts import RunFacts
from pipeline_lib.reports.ucls.scores import label_free_rows, score_panel, score_rows
from pipeline_lib.reports.ucls.sizes import size_panel


@dataclass(frozen=True)
class RunPanels:
    """Pictures of a run.

    Attributes:
        scores: Accuracies or label-free measures.
        sizes: Cluster sizes.
        training: Losses and class prior.
        neighbors: Accuracy of neighbours, where labels are known, and lengths of the lists.
        confusion: Classes and clusters, or None without labels.
        map: The features on a plane.
        places: Where the images lie on the map.
    """

    scores: Panel
    sizes: Panel
    training: list[Panel]
    neighbors: list[Panel]
    confusion: Panel | None
    map: Panel
    places: FeatureMap


def run_panels(facts: RunFacts) -> RunPanels:
    """Prepare the pictures of a run; the map is computed here, and drawing comes later."""
    titles = [facts.cluster_title(cluster) for cluster in range(facts.count)]
    confusion, places = facts.oracle_confusion, feature_map(facts.features)
    return RunPanels(
        scores=score_panel(score_rows(facts.measures), label_free_rows(facts.measures)),
        sizes=size_panel(facts.sizes, titles),
        training=training_panels(facts.history, facts.best_head, facts.count),
        neighbors=neighbor_panels(facts.list_lengths, facts.threshold, facts.oracle_neighbor_accuracy),
        confusion=confusion_panel(confusion, facts.oracle.names) if confusion and facts.oracle else None,
        map=map_panel(places, facts.clusters, facts.count),
        places=places,
    )


def write_pictures(folder: Path, panels: RunPanels) -> None:
    """Write ``scores``, ``sizes``, ``training``, ``neighbors``, ``confusion`` and ``map`` as PNG files.

    Args:
        folder: Where to; without labels ``confusion.png`` says so in words, since ``dvc plots`` needs the file.
        panels: The pictures.
    """
    write_panels(folder / "scores.png", [panels.scores])
    write_panels(folder / "sizes.png", [panels.sizes])
    write_panels(folder / "training.png", panels.training)
    write_panels(folder / "neighbors.png", panels.neighbors)
    write_panels(folder / "map.png", [panels.map])
    if panels.confusion is None:
        write_message(folder / "confusion.png", "No labels: there is no confusion matrix.")
    else:
        write_panels(folder / "confusion.png", [panels.confusion])
