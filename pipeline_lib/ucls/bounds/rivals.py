"""What people would use instead, all fitted to the training images and asked for the clusters of others."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline_lib.features.blocks import FeatureBlocks
from pipeline_lib.features.search_space import SearchSpace
from pipeline_lib.ucls.bounds.kmeans import fit_kmeans
from pipeline_lib.ucls.bounds.settings import BoundsSettings
from pipeline_lib.ucls.bounds.turtle_choice import choose_turtle
from pipeline_lib.ucls.bounds.umap_kmeans import fit_umap_kmeans


@dataclass(frozen=True)
class Rivals:
    """What the rivals found.

    Attributes:
        clusters: Cluster of every image, (n,) int32, by the rival's name.
        turtle_scores: Scores of TURTLE's candidates; empty where it does not run.
    """

    clusters: dict[str, NDArray[np.int32]]
    turtle_scores: dict[str, float] = field(default_factory=dict)


def rival_clusters(
    train: FeatureBlocks,
    others: FeatureBlocks,
    spaces: tuple[SearchSpace, SearchSpace],
    classes: int,
    settings: BoundsSettings,
    *,
    seed: int,
    device: torch.device,
) -> Rivals:
    """Fit the rivals that the settings ask for: k-means, UMAP and k-means, TURTLE.

    Args:
        train: Features of the training images, which TURTLE sees.
        others: Features of the images to cluster.
        spaces: The same as vectors of length one, which k-means and UMAP see.
        classes: Number of clusters.
        settings: Settings of the bounds.
        seed: Seed of all of them.
        device: Where TURTLE trains.

    Returns:
        Clusters of ``others``.
    """
    space, other = spaces
    kmeans = fit_kmeans(space, classes, restarts=settings.kmeans_restarts, seed=seed)
    clusters = {"kmeans": kmeans.predict(other)}
    if settings.umap.run:
        embedded = fit_umap_kmeans(space, classes, settings.umap, restarts=settings.kmeans_restarts, seed=seed)
        clusters["umap_kmeans"] = embedded.predict(other)
    if not settings.turtle.steps:
        return Rivals(clusters)
    turtle = choose_turtle(train, classes, settings.turtle, seed=seed, device=device)
    return Rivals(clusters | {"turtle": turtle.fit.predict(others)}, turtle.scores)
