"""Candidates as one 64-bit number each: query above, similarity below, column last, so that sorting ranks them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SIGN = np.uint32(1 << 31)
_LARGEST = np.uint32((1 << 31) - 1)


@dataclass(frozen=True)
class Packing:
    """How a candidate is packed; its highest bit stays free, so that the numbers are also valid as signed ones.

    One sort of such keys puts candidates by query, then by similarity descending, then by column, several times faster
    than a sort by three arrays.

    Attributes:
        columns: Number of rows searched; a column is below it.
    """

    columns: int

    @property
    def column_bits(self) -> int:
        """Bits of a column."""
        return max(1, (self.columns - 1).bit_length())

    @property
    def most_queries(self) -> int:
        """Queries that can be told apart."""
        return 1 << (31 - self.column_bits)

    def pack(self, rows: NDArray[Any], columns: NDArray[Any], similarity: NDArray[np.float32]) -> NDArray[np.uint64]:
        """Pack candidates.

        Args:
            rows: Query of each, 0 to ``most_queries`` - 1, (c,).
            columns: Its column, (c,).
            similarity: Its similarity, finite float32, (c,).

        Returns:
            Keys, (c,).
        """
        # Adding zero turns -0 into 0: they rank alike.
        bits = (similarity + np.float32(0)).view(np.uint32)
        descending = np.where(bits & _SIGN, bits, _LARGEST - bits)
        keys = rows.astype(np.uint64) << np.uint64(32 + self.column_bits)
        keys |= descending.astype(np.uint64) << np.uint64(self.column_bits)
        keys |= columns.astype(np.uint64)
        return keys

    def unpack(self, keys: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
        """Query, column and similarity of packed candidates, (c,) each."""
        columns = (keys & np.uint64((1 << self.column_bits) - 1)).astype(np.int64)
        descending = (keys >> np.uint64(self.column_bits)).astype(np.uint32)
        similarity = np.where(descending & _SIGN, descending, _LARGEST - descending).view(np.float32)
        rows = (keys >> np.uint64(32 + self.column_bits)).astype(np.int64)
        return rows, columns, similarity
