"""Tiles of the similarity matrix, made by NumPy on the CPU or by torch on a GPU."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits


class Hits(NamedTuple):
    """Entries of a tile at or above their row's bound, by row and then by column.

    Attributes:
        rows: Row in the tile, (h,).
        columns: Column in the tile, (h,).
        similarity: The entry, (h,) float32.
    """

    rows: NDArray[Any]
    columns: NDArray[Any]
    similarity: NDArray[np.float32]


class Products(Protocol):
    """Makes tiles of inner products and looks for the large entries in them.

    Attributes:
        name: What computes; recorded in the artifact.
        group: Queries of a tile.
        tile: Searched rows of a tile.
    """

    name: str
    group: int
    tile: int

    def hold(self, vectors: NDArray[np.float32]) -> Any:
        """Bring vectors (b, d) to where products are computed."""

    def scores(self, queries: Any, base: Any) -> Any:
        """Inner products (m, w) of held vectors; valid until this thread's next call."""

    def mask(self, scores: Any, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> None:
        """Set entries to minus infinity."""

    def kth_largest(self, scores: Any, k: int) -> NDArray[np.float32]:
        """The ``k``-th largest entry of each row among the first columns (all, or many times ``k``), (m,)."""

    def hits(self, scores: Any, bound: NDArray[np.float32]) -> Hits:
        """Entries at or above ``bound`` (m,)."""


class NumpyProducts:
    """Tiles on the CPU; sized so that a tile stays in the cache while it is searched."""

    name = "cpu"

    def __init__(self, group: int = 512, tile: int = 2048) -> None:
        self.group = group
        self.tile = tile
        self._scratch = threading.local()

    def hold(self, vectors: NDArray[np.float32]) -> Any:
        """Bring vectors (b, d) to where products are computed: they are there."""
        return vectors

    def scores(self, queries: Any, base: Any) -> Any:
        """Inner products (m, w); valid until this thread's next call."""
        shape = (len(queries), len(base))
        buffer = getattr(self._scratch, "buffer", None)
        if buffer is None or buffer.size < shape[0] * shape[1]:
            buffer = self._scratch.buffer = np.empty(shape[0] * shape[1], dtype=np.float32)
        return np.matmul(queries, base.T, out=buffer[: shape[0] * shape[1]].reshape(shape))

    def mask(self, scores: Any, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> None:
        """Set entries to minus infinity."""
        scores[rows, columns] = -np.inf

    def kth_largest(self, scores: Any, k: int) -> NDArray[np.float32]:
        """The ``k``-th largest entry of each row among the first columns, (m,)."""
        width = min(scores.shape[1], max(1024, 8 * k))
        result: NDArray[np.float32] = np.partition(scores[:, :width], width - k, axis=1)[:, width - k]
        return result

    def hits(self, scores: Any, bound: NDArray[np.float32]) -> Hits:
        """Entries at or above ``bound`` (m,)."""
        flat = np.flatnonzero(scores >= bound[:, None])
        rows = flat // scores.shape[1]
        return Hits(rows, flat - rows * scores.shape[1], scores.ravel()[flat])


class TorchProducts:
    """Tiles on a torch device, in full float32; only the large entries come back to the CPU.

    Args:
        device: Torch device.
        group: Queries of a tile.
        tile: Searched rows of a tile.
    """

    def __init__(self, device: str, group: int = 4096, tile: int = 16384) -> None:
        self.name = device
        self.group = group
        self.tile = tile
        self._device = torch.device(device)

    def hold(self, vectors: NDArray[np.float32]) -> Any:
        """Bring vectors (b, d) to where products are computed: to the device."""
        return torch.from_numpy(vectors).to(self._device)

    def scores(self, queries: Any, base: Any) -> Any:
        """Inner products (m, w)."""
        return queries @ base.T

    def mask(self, scores: Any, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> None:
        """Set entries to minus infinity."""
        scores[torch.from_numpy(rows).to(self._device), torch.from_numpy(columns).to(self._device)] = -torch.inf

    def kth_largest(self, scores: Any, k: int) -> NDArray[np.float32]:
        """The ``k``-th largest entry of each row, (m,)."""
        result: NDArray[np.float32] = torch.topk(scores, k, dim=1, sorted=True).values[:, -1].cpu().numpy()
        return result

    def hits(self, scores: Any, bound: NDArray[np.float32]) -> Hits:
        """Entries at or above ``bound`` (m,)."""
        above = scores >= torch.from_numpy(bound).to(self._device)[:, None]
        rows, columns = torch.nonzero(above, as_tuple=True)
        return Hits(rows.cpu().numpy(), columns.cpu().numpy(), scores[rows, columns].cpu().numpy())


@contextmanager
def reproducible_products() -> Iterator[None]:
    """Keep products from depending on the number of threads (BLAS) or on a precision setting (TF32).

    BLAS gets one thread: the search runs tiles in parallel instead, and a tile's value is then the same however many
    are computed at a time.
    """
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with threadpool_limits(limits=1, user_api="blas"):
            yield
    finally:
        torch.set_float32_matmul_precision(precision)
