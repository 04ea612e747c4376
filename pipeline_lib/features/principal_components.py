"""Principal components of feature rows, in one pass over blocks of rows."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipeline_lib.base.row_blocks import bounded_row_blocks
from pipeline_lib.features.blocks import FeatureBlocks

Components = Literal["auto"] | int | None

_FEWEST = 64
_A_CLASS = 4


def fitted_components(components: Components, features: int, images: int, classes: int) -> int | None:
    """How many components to keep: ``auto`` means four a class, at least 64.

    Args:
        components: ``auto``, a number, or ``None`` for the features as they are.
        features: Feature dimension D.
        images: Number of images n.
        classes: Number of classes K.

    Returns:
        The number, below D and n; ``None`` where so many are not to be had and the features stay as they are.
    """
    wanted = max(_FEWEST, _A_CLASS * classes) if components == "auto" else components
    return wanted if wanted is not None and wanted < min(features, images) else None


def principal_components(
    features: FeatureBlocks, mean: NDArray[np.float64], count: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The directions in which the rows differ most.

    Args:
        features: Features of n images, D columns.
        mean: Mean of their columns, (D,).
        count: Number of components d.

    Returns:
        Directions of length one, (d, D), and the unbiased variance of the rows along each, (d,) descending. Each
        direction's largest entry is positive, since a component has no sign of its own.
    """
    dimension = features.dimension
    products = np.zeros((dimension, dimension))
    for block in bounded_row_blocks(features.count, dimension):
        rows = features.rows(block).astype(np.float64) - mean
        products += rows.T @ rows
    variances, vectors = np.linalg.eigh(products / max(1, features.count - 1))
    directions = vectors[:, ::-1][:, :count].T  # (d, D)
    largest = np.abs(directions).argmax(axis=1)
    directions = directions * np.sign(directions[np.arange(count), largest])[:, None]
    return np.ascontiguousarray(directions), np.maximum(variances[::-1][:count], 0)
