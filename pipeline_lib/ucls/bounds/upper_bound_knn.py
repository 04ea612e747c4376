"""k-NN classification with true labels, as DINO evaluates features (Caron et al. 2021; Wu et al. 2018)."""

from __future__ import annotations

import faiss
import numpy as np
from numpy.typing import NDArray

from pipeline_lib.base.errors import UserError
from pipeline_lib.base.row_blocks import bounded_row_blocks, row_blocks
from pipeline_lib.features.blocks import FeatureBlocks

_BASE_ROWS = 65536
_TEMPERATURE = 0.07


def _unit_rows(features: FeatureBlocks, indices: NDArray[np.int64]) -> NDArray[np.float32]:
    """Rows (b, d) of length one; rows of zeros stay so."""
    result = np.empty((len(indices), features.dimension), dtype=np.float32)
    for block in bounded_row_blocks(len(indices), features.dimension):
        rows = features.rows(indices[block])
        length = np.linalg.norm(rows, axis=1, keepdims=True)
        if not np.isfinite(length).all():
            raise UserError("features: NaN, infinite or very large values; finite ones are needed; extract again")
        result[block] = rows / np.where(length > 0, length, 1)
    return result


def nearest_rows(
    base: FeatureBlocks, rows: NDArray[np.int64], queries: NDArray[np.float32], k: int, base_rows: int = _BASE_ROWS
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The ``k`` rows of ``base`` that are most similar to each query, by cosine; exact.

    Args:
        base: Features that are searched, d columns.
        rows: Which of its rows take part, (r,), at least ``k``.
        queries: Vectors of length one, (q, d).
        k: How many.
        base_rows: Rows of ``base`` that are in memory at a time.

    Returns:
        Positions in ``rows`` and similarities, (q, k) each, the most similar first.
    """
    positions = np.empty((len(queries), 0), dtype=np.int64)
    similarity = np.empty((len(queries), 0), dtype=np.float32)
    for block in row_blocks(len(rows), base_rows):
        vectors = _unit_rows(base, rows[block])
        scores, found = faiss.knn(queries, vectors, min(k, len(vectors)), metric=faiss.METRIC_INNER_PRODUCT)
        positions = np.concatenate([positions, found + block.start], axis=1)
        similarity = np.concatenate([similarity, scores], axis=1)
        order = np.argsort(-similarity, axis=1, kind="stable")[:, :k]
        positions = np.take_along_axis(positions, order, axis=1)
        similarity = np.take_along_axis(similarity, order, axis=1)
    return positions, similarity


def weighted_vote(
    labels: NDArray[np.int64], similarity: NDArray[np.float32], classes: int, temperature: float
) -> NDArray[np.int64]:
    """Class with the largest sum of exp(similarity / temperature) over the neighbours.

    Args:
        labels: Classes of each query's neighbours, (q, k).
        similarity: Their similarities, (q, k).
        classes: Number of classes C.
        temperature: Temperature.

    Returns:
        Class of each query, (q,); of equal ones the lowest.
    """
    # The largest similarity of a query is taken off first: no vote depends on it, and nothing underflows.
    weight = np.exp((similarity - similarity.max(axis=1, keepdims=True)).astype(np.float64) / temperature)  # (q, k)
    votes = np.zeros((len(labels), classes))
    np.add.at(votes, (np.arange(len(labels))[:, None], labels), weight)
    return np.asarray(votes.argmax(axis=1), dtype=np.int64)


def upper_bound_knn(
    train: FeatureBlocks,
    train_labels: NDArray[np.int32],
    held_out: FeatureBlocks,
    held_out_labels: NDArray[np.int32],
    k: int = 20,
    temperature: float = _TEMPERATURE,
) -> float:
    """Accuracy of the weighted vote of the ``k`` nearest training images, by cosine of the features as they come.

    Args:
        train: Features of the training images.
        train_labels: Their classes, (n,), -1 where unknown.
        held_out: Features of the images that are scored, same columns.
        held_out_labels: Their classes, (m,), -1 where unknown.
        k: Neighbours that vote; no more than there are labelled training images a class on average.
        temperature: Temperature of the votes (0.07 in DINO).

    Returns:
        Share of right classes among the held-out images with a known class, [0, 1].

    Raises:
        UserError: No image of one side has a known class, or features are not finite.
    """
    rows, scored = np.flatnonzero(train_labels >= 0), np.flatnonzero(held_out_labels >= 0)
    if not len(rows) or not len(scored):
        raise UserError("labels: k-NN classification needs images with a known class in both splits")
    present, known = np.unique(train_labels[rows], return_inverse=True)
    fitted = max(1, min(k, len(rows) // len(present)))
    positions, similarity = nearest_rows(train, rows, _unit_rows(held_out, scored), fitted)
    predicted = present[weighted_vote(known[positions], similarity, len(present), temperature)]
    return float((predicted == held_out_labels[scored]).mean())
