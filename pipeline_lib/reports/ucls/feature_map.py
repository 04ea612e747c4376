"""A flat map of the features: PCA, then t-SNE (van der Maaten & Hinton 2008) where there are enough images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from pipeline_lib.features.blocks import FeatureBlocks

MOST_IMAGES = 2000
"""Images on the map at most."""

FEWEST_FOR_TSNE = 50
"""With fewer images there are no neighbourhoods to keep, and the first two principal components are shown."""

SEED = 0
COMPONENTS = 50
PERPLEXITY = 30.0
ITERATIONS = 500


@dataclass(frozen=True)
class FeatureMap:
    """Places of images on a plane.

    Attributes:
        rows: Rows of the split that are on the map, ascending, (m,).
        places: Their coordinates, (m, 2) float64, centred.
        method: How they were found, in words.
    """

    rows: NDArray[np.int64]
    places: NDArray[np.float64]
    method: str


def feature_map(features: FeatureBlocks) -> FeatureMap:
    """Lay a seeded sample of the images out on a plane; the same features give the same map.

    Args:
        features: Features of n images, at least 1.
    """
    rows = np.arange(features.count, dtype=np.int64)
    if features.count > MOST_IMAGES:
        rows = np.sort(np.random.default_rng(SEED).choice(rows, MOST_IMAGES, replace=False))
    values = np.asarray(features.rows(rows), dtype=np.float64)
    # With one thread sums have one order, so that coordinates are equal to the last bit.
    with threadpool_limits(limits=1):
        components = principal_components(values, COMPONENTS)
        if len(rows) < FEWEST_FOR_TSNE:
            return FeatureMap(rows, components[:, :2], "first two principal components")
        perplexity = min(PERPLEXITY, (len(rows) - 1) / 3)
        tsne = TSNE(perplexity=perplexity, max_iter=ITERATIONS, init="pca", random_state=SEED, n_jobs=1)
        places = tsne.fit_transform(components).astype(np.float64)
    return FeatureMap(rows, places - places.mean(axis=0), f"PCA to {components.shape[1]} columns, then t-SNE")


def principal_components(values: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Coordinates along the first principal components, (n, c) with c = ``count`` or the columns that there are.

    At least two columns are returned, zeros where the values have fewer.

    Args:
        values: (n, d).
        count: Components at most.
    """
    kept = min(count, *values.shape)
    # PCA divides by n - 1; a single image lies at the centre.
    single = len(values) == 1
    components = np.zeros((1, kept)) if single else PCA(n_components=kept, svd_solver="full").fit_transform(values)
    if kept < 2:
        components = np.hstack([components, np.zeros((len(values), 2 - kept))])
    return np.asarray(components, dtype=np.float64)
