"""UMAP and k-means on it (McInnes et al. 2018; set as "Using UMAP for clustering" of umap-learn's documentation)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans as PlusPlusKMeans

from pipeline_lib.base.errors import UserError
from pipeline_lib.base.row_blocks import bounded_row_blocks
from pipeline_lib.features.blocks import FeatureBlocks
from pipeline_lib.ucls.bounds.kmeans import KMeans, finite_sample, nearest_centroids
from pipeline_lib.ucls.bounds.settings import UmapSettings

_FEWEST_IMAGES = 4


@dataclass(frozen=True)
class UmapKMeans:
    """A fitted embedding and the k-means clustering of it.

    Attributes:
        embedding: Places of the fitting rows, (s, components) float32.
        kmeans: k-means on them.
        umap: The fitted ``umap.UMAP``, which places other rows.
        dimension: Columns d of the features.
    """

    embedding: NDArray[np.float32]
    kmeans: KMeans
    umap: Any
    dimension: int

    def predict(self, features: FeatureBlocks) -> NDArray[np.int32]:
        """Nearest centre of every row's place in the embedding, read in blocks; the embedding stays as it is.

        Args:
            features: Features of n images, d columns.

        Returns:
            Cluster of each image, (n,) int32.

        Raises:
            UserError: The number of columns is another one.
        """
        if features.dimension != self.dimension:
            raise UserError(f"features: {features.dimension} columns; UMAP was fitted to {self.dimension}")
        labels = np.empty(features.count, dtype=np.int32)
        for block in bounded_row_blocks(features.count, features.dimension):
            places = self.umap.transform(np.ascontiguousarray(features.rows(block)))  # (b, components)
            labels[block] = nearest_centroids(self.kmeans.centroids, places)
        return labels


def fit_umap_kmeans(
    features: FeatureBlocks,
    clusters: int,
    settings: UmapSettings,
    *,
    restarts: int,
    seed: int,
    sample_rows: int = 100_000,
) -> UmapKMeans:
    """Embed the images by UMAP, with cosine distances, and cluster the embedding by k-means.

    The embedding is computed by one thread: on one machine it is the same for a seed. Other processors may round
    otherwise, and its optimisation enlarges that.

    Args:
        features: Features of n images, d columns.
        clusters: Number of clusters k.
        settings: Settings of UMAP.
        restarts: Starts of k-means by k-means++.
        seed: Seed of UMAP and of k-means, and of the sample where n is larger than ``sample_rows``.
        sample_rows: Rows that are embedded at most (held in memory as float32).

    Returns:
        The embedding and its clustering.

    Raises:
        UserError: There are fewer images than clusters, or fewer than four, or a value is not finite.
    """
    rows = finite_sample(features, clusters, sample_rows, seed)
    if len(rows) < _FEWEST_IMAGES:
        raise UserError(
            f"features: {len(rows)} image(s); UMAP needs at least {_FEWEST_IMAGES}; "
            "bounds.umap.run = false leaves it out"
        )
    # Importing it takes seconds, for numba compiles; only a run that has this rival pays for it.
    from umap import UMAP

    # n_jobs = 1 is what a seed forces; said here, UMAP does not warn that it was overridden.
    umap = UMAP(
        n_neighbors=min(settings.neighbors, len(rows) - 1),
        # The spectral start takes components + 1 eigenvectors, and UMAP wants them to be fewer than the images.
        n_components=min(settings.components, len(rows) - 3),
        min_dist=settings.min_distance,
        n_epochs=settings.epochs,
        metric="cosine",
        random_state=seed,
        transform_seed=seed,
        n_jobs=1,
    )
    embedding = np.ascontiguousarray(umap.fit_transform(rows), dtype=np.float32)  # (s, components)
    # Between clusters that lie far apart no centre moves, so that random starts, as fit_kmeans has, would stay bad.
    fit = PlusPlusKMeans(clusters, n_init=restarts, random_state=seed).fit(embedding)
    kmeans = KMeans(np.ascontiguousarray(fit.cluster_centers_, dtype=np.float32), float(fit.inertia_))
    return UmapKMeans(embedding, kmeans, umap, features.dimension)
