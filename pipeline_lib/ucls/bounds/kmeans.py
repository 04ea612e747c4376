"""The k-means baseline on frozen features (faiss), with memory that does not grow with the number of images."""

from __future__ import annotations

from dataclasses import dataclass

import faiss
import numpy as np
from numpy.typing import NDArray

from pipeline_lib.base.errors import UserError
from pipeline_lib.base.row_blocks import bounded_row_blocks
from pipeline_lib.features.blocks import FeatureBlocks


@dataclass(frozen=True)
class KMeans:
    """A fitted k-means clustering.

    Attributes:
        centroids: Cluster centres, (k, d) float32.
        inertia: Sum of squared distances of the fitting rows to their centres, of the best restart.
    """

    centroids: NDArray[np.float32]
    inertia: float

    def predict(self, features: FeatureBlocks) -> NDArray[np.int32]:
        """Nearest centre of every row (squared Euclidean distance), read in blocks.

        Args:
            features: Features of n images, d columns.

        Returns:
            Cluster of each image, (n,) int32.

        Raises:
            UserError: The number of columns is another one.
        """
        if features.dimension != self.centroids.shape[1]:
            raise UserError(f"features: {features.dimension} columns; k-means was fitted to {self.centroids.shape[1]}")
        labels = np.empty(features.count, dtype=np.int32)
        for block in bounded_row_blocks(features.count, features.dimension):
            labels[block] = nearest_centroids(self.centroids, features.rows(block))
        return labels


def nearest_centroids(centroids: NDArray[np.float32], rows: NDArray[np.float32]) -> NDArray[np.int32]:
    """Number of the nearest of ``centroids`` (k, d) for each of ``rows`` (b, d), int32 (b,)."""
    index = faiss.IndexFlatL2(centroids.shape[1])
    index.add(centroids)
    _, nearest = index.search(np.ascontiguousarray(rows, dtype=np.float32), 1)
    return np.asarray(nearest[:, 0], dtype=np.int32)


def _sample(features: FeatureBlocks, sample_rows: int, seed: int) -> NDArray[np.float32]:
    count = min(features.count, sample_rows)
    chosen = np.arange(count, dtype=np.int64)
    if count < features.count:
        chosen = np.sort(np.random.default_rng(seed).choice(features.count, size=count, replace=False))
    rows = np.empty((count, features.dimension), dtype=np.float32)
    for block in bounded_row_blocks(count, features.dimension):
        rows[block] = features.rows(chosen[block])
    return rows


def finite_sample(features: FeatureBlocks, clusters: int, sample_rows: int, seed: int) -> NDArray[np.float32]:
    """Rows to find clusters in: all, or a seeded sample in the order of the images.

    Args:
        features: Features of n images, d columns.
        clusters: Number of clusters k.
        sample_rows: Rows at most.
        seed: Seed of the sample.

    Returns:
        Rows, (min(n, ``sample_rows``), d) float32.

    Raises:
        UserError: ``clusters`` is below 1 or above the number of rows, or a value is not finite.
    """
    if clusters < 1:
        raise UserError(f"clusters = {clusters}: allowed: 1 or more")
    if clusters > min(features.count, sample_rows):
        available = f"{features.count} images, {sample_rows} of them sampled at most"
        raise UserError(f"clusters = {clusters}: k-means needs at least as many images; there are {available}")
    rows = _sample(features, sample_rows, seed)
    if not np.isfinite(rows).all():
        raise UserError("features: k-means needs finite values, found NaN or infinity; run the extraction again")
    return rows


def fit_kmeans(
    features: FeatureBlocks,
    clusters: int,
    *,
    restarts: int,
    seed: int,
    iterations: int = 50,
    sample_rows: int = 100_000,
) -> KMeans:
    """Fit k-means from several random starts and keep the one with the lowest inertia.

    The result is the same for a seed and a number of threads.

    Args:
        features: Features of n images, d columns.
        clusters: Number of clusters k.
        restarts: Random starts.
        seed: Seed of the starts, and of the sample where n is larger than ``sample_rows``.
        iterations: Lloyd iterations of each start.
        sample_rows: Rows held in memory for the fit at most (``sample_rows`` x d float32).

    Returns:
        The clustering.

    Raises:
        UserError: There are fewer rows, or fewer distinct rows, than clusters, or an argument is out of range.
    """
    for name, value in (("restarts", restarts), ("iterations", iterations)):
        if value < 1:
            raise UserError(f"{name} = {value}: allowed: 1 or more")
    rows = finite_sample(features, clusters, sample_rows, seed)
    fit = faiss.Kmeans(
        features.dimension,
        clusters,
        niter=iterations,
        nredo=restarts,
        seed=seed,
        min_points_per_centroid=1,
        max_points_per_centroid=len(rows),
    )
    inertia = float(fit.train(rows))
    result = KMeans(np.ascontiguousarray(fit.centroids, dtype=np.float32), inertia)
    _check_distinct(rows, result)
    return result


def _check_distinct(rows: NDArray[np.float32], fit: KMeans) -> None:
    """Refuse a fit with empty clusters that no choice of centres could fill."""
    clusters = len(fit.centroids)
    if len(np.unique(nearest_centroids(fit.centroids, rows))) == clusters:
        return
    distinct = len(np.unique(rows.view(np.dtype((np.void, rows.shape[1] * rows.itemsize)))))
    if distinct < clusters:
        raise UserError(
            f"clusters = {clusters}: only {distinct} of {len(rows)} features are distinct; "
            "k-means would leave empty clusters"
        )
