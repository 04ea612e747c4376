"""The space that is searched: features centred, their blocks weighed alike, rows of length one, maybe fewer columns."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pipeline_lib.base.errors import UserError
from pipeline_lib.base.row_blocks import row_blocks
from pipeline_lib.features.blocks import FeatureBlocks, NamedFeatureBlocks
from pipeline_lib.features.principal_components import principal_components

_ROUNDING = 4 * float(np.finfo(np.float32).eps)
"""A centred block shorter than this share of the mean's length is rounding noise of a constant feature."""


class SearchSpace:
    """Vectors whose inner products are the similarities of a neighbour search.

    Three steps, in this order: subtract the mean of all rows; bring each block of columns to length one, so that
    every block weighs the same; bring the row to length one. Centring comes first because the blocks' lengths are to
    be those of what tells rows apart, not of the offset they share.

    A row that is left with nothing (all its features are constant over the data set) becomes zeros: its similarity
    to every row is 0. The same holds for a single block, where the other blocks then decide.

    Args:
        source: The features.
        centre: Subtract the mean.
        normalise_blocks: Bring every block to length one before the row.
        mean: Mean to subtract, (d,) float64, for example that of the training rows for other rows; by default that
            of ``source``, taken in one pass over blocks in float64.
        block_rows: Rows read at once for the mean.

    Raises:
        UserError: The blocks do not cover the columns, or a value is not finite.
    """

    def __init__(
        self,
        source: NamedFeatureBlocks,
        *,
        centre: bool = True,
        normalise_blocks: bool = True,
        mean: NDArray[np.float64] | None = None,
        block_rows: int = 16384,
    ) -> None:
        self._source = source
        self.centre = centre
        self.normalise_blocks = normalise_blocks
        ranges = sorted(source.columns.values())
        edges = [0, *(stop for _, stop in ranges)]
        if [start for start, _ in ranges] != edges[:-1] or edges[-1] != source.dimension:
            raise UserError(
                f"feature blocks {dict(source.columns)}: they must cover the {source.dimension} columns once"
            )
        self._parts = ranges if normalise_blocks else [(0, source.dimension)]
        self.mean: NDArray[np.float64] | None = None
        if centre:
            self.mean = column_mean(source, block_rows) if mean is None else np.asarray(mean, dtype=np.float64)
        self._offset = np.zeros(source.dimension, np.float32) if self.mean is None else self.mean.astype(np.float32)

    @property
    def count(self) -> int:
        """Number of rows n."""
        return self._source.count

    @property
    def dimension(self) -> int:
        """Number of columns d."""
        return self._source.dimension

    @property
    def columns(self) -> Mapping[str, tuple[int, int]]:
        """First column and column after the last of each block, by name."""
        return self._source.columns

    def rows(self, indices: slice | NDArray[np.int64]) -> NDArray[np.float32]:
        """Vectors of length one, or of zeros.

        Args:
            indices: Rows.

        Returns:
            Vectors, (b, d) float32; a new array.

        Raises:
            UserError: A value is not finite.
        """
        vectors = np.asarray(self._source.rows(indices), dtype=np.float32) - self._offset  # (b, d)
        filled = np.zeros(len(vectors), dtype=np.int64)
        for start, stop in self._parts:
            part = vectors[:, start:stop]
            length = _lengths(part)
            if not np.isfinite(length).all():
                self._refuse(indices, int(np.flatnonzero(~np.isfinite(length))[0]))
            present = length > _ROUNDING * float(np.linalg.norm(self._offset[start:stop]))
            part *= np.where(present, 1 / np.where(present, length, 1), 0).astype(np.float32)[:, None]
            filled += present
        if len(self._parts) > 1:
            vectors *= (1 / np.sqrt(np.maximum(filled, 1))).astype(np.float32)[:, None]
        return vectors

    def zero_rows(self, block_rows: int = 16384) -> int:
        """Number of rows that have no similarity to any row, counted in one pass over blocks."""
        return sum(int((~self.rows(block).any(axis=1)).sum()) for block in row_blocks(self.count, block_rows))

    def _refuse(self, indices: slice | NDArray[np.int64], position: int) -> None:
        row = np.arange(self.count)[indices][position]
        raise UserError(f"features, row {row}: NaN, infinite or too large for float32; finite values are needed")


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


def column_mean(source: FeatureBlocks, block_rows: int = 16384) -> NDArray[np.float64]:
    """Mean of every column, (d,) float64, summed in float64 over blocks of rows.

    Raises:
        UserError: A column holds NaN or infinity, or there are no rows.
    """
    if source.count == 0:
        raise UserError("features: no rows; at least one is needed")
    total = np.zeros(source.dimension)
    for block in row_blocks(source.count, block_rows):
        total += source.rows(block).sum(axis=0, dtype=np.float64)
    if not np.isfinite(total).all():
        column = int(np.flatnonzero(~np.isfinite(total))[0])
        raise UserError(f"features, column {column}: NaN or infinite values; finite values are needed")
    mean: NDArray[np.float64] = total / source.count
    return mean


def _lengths(part: NDArray[np.float32]) -> NDArray[np.float32]:
    squares: NDArray[np.float32] = np.einsum("ij,ij->i", part, part)
    return np.sqrt(squares)
