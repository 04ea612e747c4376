"""A similarity threshold without labels: down to it, images that are similar also share their neighbours.

Two images of one class have many neighbours in common, two images of different classes few, whatever the backbone. The
share of common neighbours (Jarvis & Patrick 1973) therefore says how far down the similarities can be trusted, where
the similarity itself means another thing on every backbone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from pipeline_lib.base.row_blocks import row_blocks
from pipeline_lib.features.search_space import SearchSpace

LOWEST = 0.1
"""Lowest threshold that can come out: the lowest of thesis Table 6.16."""

BIN = 0.02
"""Width of a similarity bin."""

_FEWEST_PAIRS = 50
_FEWEST_SAMPLES = 5_000
_SAMPLES_A_CLASS = 40
_BLOCK_ROWS = 1_024


@dataclass(frozen=True)
class ThresholdChoice:
    """What the choice rests on.

    Attributes:
        threshold: Lower edge of the lowest bin whose pairs, and those of all bins above, share enough neighbours.
        edges: Lower edge of each bin, ascending, (b,).
        shared: Mean share of common neighbours of the pairs of each bin, (b,); NaN where there are too few pairs.
        pairs: Ordered pairs of the sample in each bin, (b,).
        sample: Number of images looked at.
    """

    threshold: float
    edges: NDArray[np.float64]
    shared: NDArray[np.float64]
    pairs: NDArray[np.int64]
    sample: int


def choose_threshold(space: SearchSpace, classes: int, *, shared: float = 0.5, seed: int = 0) -> ThresholdChoice:
    """The lowest similarity at which a pair of images still shares enough of its neighbours; looks at no labels.

    The neighbours that are compared are the nearest half of the expected class size, within a sample of the images
    that has at least 40 a class.

    Args:
        space: The vectors.
        classes: Number of classes.
        shared: Share of common neighbours that the pairs at the threshold have on average, in (0, 1).
        seed: Seed of the sample.

    Returns:
        The choice; a threshold of 1 (no image beyond the ``k_min`` nearest) where not even the most similar pairs share
        enough.
    """
    size = min(space.count, max(_FEWEST_SAMPLES, _SAMPLES_A_CLASS * classes))
    rows = np.sort(np.random.default_rng(seed).permutation(space.count)[:size]).astype(np.int64)
    vectors = space.rows(rows)
    nearest = _nearest(vectors, max(2, min(size - 1, size // (2 * classes))))
    edges = np.arange(LOWEST, 1, BIN)
    total, pairs = _shared_by_similarity(vectors, nearest, edges)
    means = np.divide(total, pairs, out=np.full(len(edges), np.nan), where=pairs >= _FEWEST_PAIRS)
    threshold = 1.0
    for edge, mean in zip(edges[::-1], means[::-1], strict=True):
        if mean < shared:
            break
        if not np.isnan(mean):
            threshold = float(round(edge, 2))
    return ThresholdChoice(threshold, edges, means, pairs, size)


def _nearest(vectors: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """The ``k`` most similar other rows of each row, in no order, (n, k)."""
    found = np.empty((len(vectors), k), dtype=np.int64)
    for block in row_blocks(len(vectors), _BLOCK_ROWS):
        similarity = _block_similarity(vectors, block)
        found[block] = np.argpartition(-similarity, k - 1, axis=1)[:, :k]
    return found


def _block_similarity(vectors: NDArray[np.float32], block: slice) -> NDArray[np.float32]:
    """Similarity of a block of rows to all rows, with minus infinity to themselves."""
    similarity: NDArray[np.float32] = vectors[block] @ vectors.T
    own = np.arange(block.start, block.stop)
    similarity[own - block.start, own] = -np.inf
    return similarity


def _shared_by_similarity(
    vectors: NDArray[np.float32], nearest: NDArray[np.int64], edges: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Sum of the shares of common neighbours, and number of ordered pairs, in each bin of similarity."""
    count, k = nearest.shape
    owner = np.repeat(np.arange(count), k)
    lists: Any = csr_matrix((np.ones(count * k, np.float32), (owner, nearest.ravel())), (count, count))
    transposed = lists.T.tocsr()
    total, pairs = np.zeros(len(edges)), np.zeros(len(edges), dtype=np.int64)
    for block in row_blocks(count, _BLOCK_ROWS):
        similarity = _block_similarity(vectors, block)
        row, column = np.nonzero(similarity >= edges[0])
        bins = np.searchsorted(edges, similarity[row, column], side="right") - 1
        common = np.asarray((lists[block] @ transposed).todense())[row, column] / k
        pairs += np.bincount(bins, minlength=len(edges))
        total += np.bincount(bins, weights=common, minlength=len(edges))
    return total, pairs
