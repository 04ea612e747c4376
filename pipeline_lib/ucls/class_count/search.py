"""The search for the number of classes over candidates, without labels."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from pipeline_lib.base.errors import UserError
from pipeline_lib.base.row_blocks import bounded_row_blocks
from pipeline_lib.features.blocks import FeatureBlocks
from pipeline_lib.ucls.class_count.criterion import cosine_silhouette, edge_excess
from pipeline_lib.ucls.class_count.graph import neighbor_graph, spectral_embedding, spectral_partition
from pipeline_lib.ucls.class_count.settings import ClassCountSettings

IMAGES_PER_NEIGHBOR = 2
"""The sample has this many times ``neighbors`` images for each of the most classes, where the data set has them: most
neighbours of an image would be of other classes if its own were not larger than its list."""

SILHOUETTE_WEIGHT = 0.5
"""Weight of the silhouette beside the edge excess, set once on 35 sets of images and subsets of their classes."""

_STEP = 1.1
_DIMENSIONS = 50
_MOST_EIGENVECTORS = 128


@dataclass(frozen=True)
class ClassCountScores:
    """Scores of the candidates.

    Attributes:
        candidates: Numbers of classes, rising.
        scores: Score of each candidate's best partition; the highest is best.
        spread: Standard deviation of the score over the restarts.
        images: Images that were looked at.
    """

    candidates: tuple[int, ...]
    scores: tuple[float, ...]
    spread: tuple[float, ...]
    images: int

    @property
    def classes(self) -> int:
        """The candidate with the highest score; the lowest of equal ones."""
        return self.candidates[int(np.argmax(self.scores))]


def fitted_maximum(images: int) -> int:
    """Most classes worth trying: the square root of the number of images, rounded down."""
    return math.isqrt(images)


def candidate_grid(minimum: int, maximum: int) -> list[int]:
    """Candidates from ``minimum`` to ``maximum``, both included: every number at first, then a tenth apart."""
    grid = [minimum]
    while grid[-1] < maximum:
        grid.append(min(maximum, max(grid[-1] + 1, int(grid[-1] * _STEP))))
    return grid


def score_class_counts(features: FeatureBlocks, settings: ClassCountSettings, *, seed: int) -> ClassCountScores:
    """Compare numbers of classes by spectral partitions of the graph of nearest neighbours.

    For each candidate K the rows are partitioned by k-means on the K leading eigenvectors of the graph (128 at most).
    The partition of least inertia is scored by :func:`edge_excess` plus ``SILHOUETTE_WEIGHT`` times
    :func:`cosine_silhouette`, the latter on the 50 leading principal components. The grid is filled in around its best
    candidate.

    Args:
        features: Rows of length one (or zeros), n.
        settings: Candidates, sample, neighbours and restarts.
        seed: Seed of the sample, the eigenvectors and the starts.

    Returns:
        The scores.

    Raises:
        UserError: A number is out of its range, or there are too few rows for the candidates.
    """
    minimum, neighbors, restarts = settings.min, settings.neighbors, settings.restarts
    maximum = _checked_maximum(features.count, minimum, settings.max)
    rows = _sampled(features, max(settings.sample, IMAGES_PER_NEIGHBOR * neighbors * maximum), seed)
    graph = neighbor_graph(rows, min(neighbors, len(rows) - 1))
    embedding = spectral_embedding(graph, min(maximum, _MOST_EIGENVECTORS), seed)
    vectors = _principal_directions(rows, seed)

    def scored(classes: int) -> _Scored:
        partitions = [spectral_partition(embedding, classes, seed + restart) for restart in range(restarts)]
        scores = [
            edge_excess(graph, part.labels, classes)
            + SILHOUETTE_WEIGHT * cosine_silhouette(vectors, part.labels, classes)
            for part in partitions
        ]
        best = int(np.argmin([part.inertia for part in partitions]))
        return _Scored(scores[best], float(np.std(scores)))

    results = {classes: scored(classes) for classes in candidate_grid(minimum, maximum)}
    results |= {classes: scored(classes) for classes in _between_neighbors_of_best(results)}
    ordered = sorted(results)
    return ClassCountScores(
        candidates=tuple(ordered),
        scores=tuple(results[classes].score for classes in ordered),
        spread=tuple(results[classes].spread for classes in ordered),
        images=len(rows),
    )


class _Scored(NamedTuple):
    score: float
    spread: float


def _checked_maximum(images: int, minimum: int, maximum: int | Literal["auto"]) -> int:
    fitted = fitted_maximum(images) if maximum == "auto" else maximum
    name = f"max = auto, here {fitted} for {images} images" if maximum == "auto" else f"max = {maximum}"
    if fitted < minimum:
        raise UserError(f"classes: {name}: at least min = {minimum} is needed")
    if 2 * fitted > images:
        raise UserError(f"classes: {name}: at most half of the {images} images is allowed")
    return fitted


def _sampled(features: FeatureBlocks, sample: int, seed: int) -> NDArray[np.float32]:
    chosen = np.arange(features.count, dtype=np.int64)
    if features.count > sample:
        chosen = np.sort(np.random.default_rng(seed).choice(features.count, size=sample, replace=False))
    rows = np.empty((len(chosen), features.dimension), dtype=np.float32)
    for block in bounded_row_blocks(len(chosen), features.dimension):
        rows[block] = features.rows(chosen[block])
    return rows


def _principal_directions(rows: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """Leading principal components of the rows, brought to length one, (n, at most 50)."""
    centred: NDArray[np.float32] = rows - rows.mean(axis=0)
    if not centred.any():
        return centred
    components = min(_DIMENSIONS, *rows.shape)
    reduced = PCA(components, svd_solver="randomized", random_state=seed).fit_transform(centred)
    length = np.linalg.norm(reduced, axis=1, keepdims=True)
    directions: NDArray[np.float32] = np.divide(reduced, length, out=np.zeros_like(reduced), where=length > 0)
    return directions.astype(np.float32)


def _between_neighbors_of_best(results: dict[int, _Scored]) -> Iterable[int]:
    """Numbers beside the best candidate that the grid left out, up to the next on either side."""
    ordered = sorted(results)
    best = max(range(len(ordered)), key=lambda i: results[ordered[i]].score)
    low, high = ordered[max(best - 1, 0)], ordered[min(best + 1, len(ordered) - 1)]
    return (classes for classes in range(low + 1, high) if classes not in results)
