"""k-NN classification with votes weighed by similarity (Wu et al. 2018; Caron et al. 2021)."""

from __future__ import annotations

from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from pipeline_lib.base.errors import UserError
from pipeline_lib.base.row_blocks import bounded_row_blocks, row_blocks
from pipeline_lib.features.blocks import FeatureBlocks

NEIGHBORS = 20
TEMPERATURE = 0.07
_BASE_ROWS = 65536


def knn_classes(
    base: FeatureBlocks,
    labels: NDArray[np.integer[Any]],
    queries: FeatureBlocks,
    k: int = NEIGHBORS,
    temperature: float = TEMPERATURE,
) -> NDArray[np.int64]:
    """Class of each query by the weighted vote of the rows that are most similar to it, by cosine.

    Args:
        base: Features whose rows vote, d columns.
        labels: Their classes from 0, (n,); a row of class -1 does not vote.
        queries: Features whose rows are classified, d columns.
        k: How many rows vote on a query; all where there are fewer.
        temperature: Temperature of the votes.

    Returns:
        Classes, (q,); see :func:`weighted_vote` for equal votes. Where several rows are equally similar to a query and
        not all of them are among the ``k``, the search decides which are.

    Raises:
        UserError: No row has a class, or a feature is not finite.
    """
    voting = np.flatnonzero(labels >= 0)
    if not len(voting):
        raise UserError("labels: k-NN classification needs images with a known class")
    known = labels[voting].astype(np.int64)
    positions, similarity = nearest_rows(base, voting, unit_rows(queries, np.arange(queries.count)), k)
    return weighted_vote(known[positions], similarity, int(known.max()) + 1, temperature)


def unit_rows(features: FeatureBlocks, indices: NDArray[np.int64]) -> NDArray[np.float32]:
    """Rows (b, d) of length one; rows of zeros stay so.

    Raises:
        UserError: A feature is not finite.
    """
    result = np.empty((len(indices), features.dimension), dtype=np.float32)
    for block in bounded_row_blocks(len(indices), features.dimension):
        rows = features.rows(indices[block])
        length = np.linalg.norm(rows, axis=1, keepdims=True)
        if not np.isfinite(length).all():
            raise UserError("features: NaN, infinite or very large values; finite ones are needed")
        result[block] = rows / np.where(length > 0, length, 1)
    return result


def nearest_rows(
    base: FeatureBlocks, rows: NDArray[np.int64], queries: NDArray[np.float32], k: int, base_rows: int = _BASE_ROWS
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The ``k`` rows of ``base`` that are most similar to each query, by cosine; exact.

    Args:
        base: Features that are searched, d columns.
        rows: Which of its rows take part, (r,).
        queries: Vectors of length one, (q, d).
        k: How many; all where there are fewer.
        base_rows: Rows of ``base`` that are in memory at a time.

    Returns:
        Positions in ``rows`` and similarities, (q, min(k, r)) each, the most similar first.
    """
    positions = np.empty((len(queries), 0), dtype=np.int64)
    similarity = np.empty((len(queries), 0), dtype=np.float32)
    for block in row_blocks(len(rows), base_rows):
        vectors = unit_rows(base, rows[block])
        scores, found = faiss.knn(queries, vectors, min(k, len(vectors)), metric=faiss.METRIC_INNER_PRODUCT)
        positions = np.concatenate([positions, found + block.start], axis=1)
        similarity = np.concatenate([similarity, scores], axis=1)
        order = np.argsort(-similarity, axis=1, kind="stable")[:, :k]
        positions = np.take_along_axis(positions, order, axis=1)
        similarity = np.take_along_axis(similarity, order, axis=1)
    return positions, similarity


def weighted_vote(
    labels: NDArray[np.int64], similarity: NDArray[np.float32], classes: int, temperature: float = TEMPERATURE
) -> NDArray[np.int64]:
    """Class with the largest sum of exp(similarity / temperature) over the neighbours, summed in float64.

    Args:
        labels: Classes of each query's neighbours, (q, k).
        similarity: Their similarities, (q, k).
        classes: Number of classes.
        temperature: Temperature.

    Returns:
        Class of each query, (q,); of classes with equal votes the lowest.
    """
    # The largest similarity of a query is taken off first: no vote depends on it, and nothing underflows.
    weight = np.exp((similarity - similarity.max(axis=1, keepdims=True)).astype(np.float64) / temperature)  # (q, k)
    votes = np.zeros((len(labels), classes))
    np.add.at(votes, (np.arange(len(labels))[:, None], labels), weight)
    return np.asarray(votes.argmax(axis=1), dtype=np.int64)
