"""The search space on its leading principal components."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline_lib.features.principal_components import principal_components
from pipeline_lib.features.search_space import SearchSpace, column_mean


class ReducedSpace(SearchSpace):
    """Vectors of a search space projected on their leading principal components and brought to length one again.

    What is left out are the directions in which images differ least; they are noise to a similarity, in which all
    directions count alike.

    Args:
        space: The space.
        components: Number of components, below its dimension.
    """

    def __init__(self, space: SearchSpace, components: int) -> None:
        self._space = space
        self.centre, self.normalise_blocks, self.mean = space.centre, space.normalise_blocks, space.mean
        offset = column_mean(space)
        directions, _ = principal_components(space, offset, components)
        self._directions = directions.astype(np.float32)
        self._shift = (directions @ offset).astype(np.float32)

    @property
    def count(self) -> int:
        """Number of rows n."""
        return self._space.count

    @property
    def dimension(self) -> int:
        """Number of components."""
        return len(self._directions)

    @property
    def columns(self) -> dict[str, tuple[int, int]]:
        """Blocks of the space that the components are made of; their columns are mixed."""
        return dict(self._space.columns)

    def rows(self, indices: slice | NDArray[np.int64]) -> NDArray[np.float32]:
        """Vectors of length one, or of zeros, (b, d) float32."""
        vectors: NDArray[np.float32] = self._space.rows(indices) @ self._directions.T - self._shift
        length = np.linalg.norm(vectors, axis=1, keepdims=True)
        present = length > np.finfo(np.float32).eps
        return np.where(present, vectors / np.where(present, length, 1), 0).astype(np.float32)
