"""Settings of rivals and bounds."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from pipeline_lib.base.settings import Count, Natural, Settings


class TurtleSettings(Settings):
    """How TURTLE is trained; inner steps, rates and entropy weight are the paper's.

    Attributes:
        steps: Updates of the task encoder (6,000 in the paper); 0 where TURTLE is not to run.
        batch_size: Images of an update (10,000 in the paper), at most all.
        inner_steps: Updates of the linear classifier for each of them.
        learning_rate: Adam's rate for the task encoder.
        inner_learning_rate: Adam's rate for the linear classifier.
        entropy_weight: Weight of the entropy of the mean label.
        warm_start: The linear classifier goes on from the update before (true) or starts anew (false); ``auto`` tries
            both and keeps the labelling that generalises best, as the paper chooses without labels.
        scaling: ``none`` takes features as they come; ``standardise`` brings every column to mean 0 and variance 1;
            ``auto`` tries both, likewise.
    """

    steps: Natural
    batch_size: Annotated[int, Field(ge=2)]
    inner_steps: Count = 10
    learning_rate: Annotated[float, Field(gt=0)] = 0.001
    inner_learning_rate: Annotated[float, Field(gt=0)] = 0.001
    entropy_weight: Annotated[float, Field(ge=0)] = 10.0
    warm_start: Literal["auto"] | bool = "auto"
    scaling: Literal["auto", "none", "standardise"] = "auto"


class UmapSettings(Settings):
    """UMAP before k-means, with cosine distances, as umap-learn's documentation advises for clustering.

    Attributes:
        run: Whether UMAP + k-means is to run.
        neighbors: Neighbours of an image in UMAP's graph, at most all other images.
        components: Dimensions of the embedding; at most three fewer than there are images.
        min_distance: How close images may lie in the embedding; 0 packs clusters densest.
        epochs: Passes over the edges of the graph; null: UMAP's own 500 up to 10,000 images, 200 above.
    """

    run: bool = True
    neighbors: Annotated[int, Field(ge=2)] = 30
    components: Count = 10
    min_distance: Annotated[float, Field(ge=0, le=1)] = 0.0
    epochs: Count | None = None


class BoundsSettings(Settings):
    """Rivals and bounds on the same features (thesis Table 6.5).

    Attributes:
        kmeans_restarts: Starts of k-means, of which the one with the least inertia counts.
        umap: UMAP, on whose embedding k-means runs once more.
        turtle: TURTLE.
        knn_neighbors: Neighbours that vote on a class, with true labels.
        true_neighbor_heads: Heads that are trained as in ``train_heads`` on neighbours of the true class; 0: none.
        true_neighbor_iterations: Length of that training, for right pairs teach fast; null: that of ``train_heads``.
        linear_probe_iterations: Length of the linear probe, trained as in ``self_train`` on true labels; 0: no probe.
    """

    umap: UmapSettings
    turtle: TurtleSettings
    true_neighbor_heads: Natural
    true_neighbor_iterations: Count | None
    linear_probe_iterations: Natural
    kmeans_restarts: Count = 10
    knn_neighbors: Count = 20

    def true_neighbor_training(self) -> dict[str, Any]:
        """What training on true neighbours changes in the settings of ``train_heads``: heads and, if given, length."""
        length = self.true_neighbor_iterations
        changes: dict[str, Any] = {"heads": self.true_neighbor_heads}
        return changes if length is None else changes | {"epochs": None, "iterations": length}
