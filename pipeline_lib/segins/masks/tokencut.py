"""TokenCut: an object as one side of a normalised cut of a vision transformer's patches (Wang et al. 2022)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.linalg import eigh

from pipeline_lib.base.errors import UserError

SIMILARITY = 0.2
"""The paper's cosine similarity above which the keys of two patches join them."""

NOT_JOINED = 1e-5
"""Weight of the edge between patches that are not similar: the graph stays connected."""


@dataclass(frozen=True)
class Cut:
    """The cut of one image's patches, h rows of w.

    Attributes:
        eigenvector: Second generalised eigenvector, float64 (h, w), of unit length in the metric of the degrees; its
            sign is such that the seed is in the foreground.
        foreground: Patches above the eigenvector's mean, bool (h, w).
        seed: Row and column of the patch with the largest absolute value.
        mask: Connected component (4 neighbours) of the foreground that holds the seed, bool (h, w).
    """

    eigenvector: NDArray[np.float64]
    foreground: NDArray[np.bool_]
    seed: tuple[int, int]
    mask: NDArray[np.bool_]


def adjacency(
    features: NDArray[np.floating[Any]], similarity: float, *, binary: bool = True
) -> NDArray[np.floating[Any]]:
    """Graph of the patches (Wang et al. 2022, Eq. 4 and section 4.5).

    Args:
        features: One a patch, (n, d).
        similarity: Cosine similarity above which two patches are joined.
        binary: Joined patches have weight 1; else the similarity.

    Returns:
        (n, n) of the dtype of ``features``: weights, ``NOT_JOINED`` elsewhere.
    """
    unit = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)  # (n, d)
    cosine = unit @ unit.T  # (n, n)
    weight = np.ones_like(cosine) if binary else cosine
    return np.where(cosine > similarity, weight, np.asarray(NOT_JOINED, dtype=cosine.dtype))


def second_eigenvector(weights: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Solution of (D − A) v = λ D v with the second smallest λ, D the row sums of A (Shi and Malik 2000).

    Args:
        weights: Symmetric A, (n, n), n at least 2.

    Returns:
        v, float64 (n,), with v'Dv = 1; its sign is arbitrary.
    """
    matrix = weights.astype(np.float64)
    degree = np.diag(matrix.sum(axis=1))
    _, vectors = eigh(degree - matrix, degree, subset_by_index=[1, 1])
    return np.asarray(vectors[:, 0], dtype=np.float64)


def token_cut(
    features: NDArray[np.floating[Any]], grid: tuple[int, int], similarity: float = SIMILARITY, *, binary: bool = True
) -> Cut:
    """Cut the patches in two and keep the side of the most extreme one (Wang et al. 2022, section 3.3).

    Args:
        features: One a patch, without class token and registers, (h w, d): in the paper the keys of the last block,
            heads side by side.
        grid: Rows h and columns w of the patches.
        similarity: Cosine similarity above which two patches are joined.
        binary: See :func:`adjacency`.

    Returns:
        The cut.

    Raises:
        UserError: There are fewer than two patches, or not as many as the grid has.
    """
    if len(features) != grid[0] * grid[1] or len(features) < 2:
        raise UserError(f"{len(features)} patches for a grid of {grid[0]} x {grid[1]}; TokenCut needs at least two")
    vector = second_eigenvector(adjacency(features, similarity, binary=binary))
    foreground = vector > vector.mean()
    seed = int(np.abs(vector).argmax())
    if not foreground[seed]:
        vector, foreground = -vector, ~foreground
    split = foreground.reshape(grid)
    components, _ = ndimage.label(split)
    position = (seed // grid[1], seed % grid[1])
    return Cut(vector.reshape(grid), split, position, components == components[position])
