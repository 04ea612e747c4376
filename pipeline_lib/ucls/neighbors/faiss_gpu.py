"""FAISS' brute force on a GPU as an index that can also be asked for all rows above a threshold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import faiss
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

MOST_NEAREST = 2048
"""Longest list that FAISS makes on a GPU."""

_FIRST_NEAREST = 256

Nearest = Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]]
"""Similarity and columns, (q, k) each, of the ``k`` rows of a base (b, d) that are nearest to queries (q, d)."""


def has_faiss_gpu() -> bool:
    """Whether the installed FAISS is built for GPUs and sees one."""
    return hasattr(faiss, "StandardGpuResources") and faiss.get_num_gpus() > 0


def faiss_nearest() -> Nearest:
    """``faiss.knn_gpu`` on torch tensors, with buffers of its own."""
    import faiss.contrib.torch_utils  # lets FAISS take tensors; changes FAISS' functions, so only where it is needed

    resources: Any = faiss.StandardGpuResources()

    def nearest(queries: Tensor, base: Tensor, k: int) -> tuple[Tensor, Tensor]:
        similarity, columns = faiss.knn_gpu(resources, queries, base, k, metric=faiss.METRIC_INNER_PRODUCT)
        return similarity, columns

    return nearest


class GpuFlatIndex:
    """Rows on a GPU. A list that FAISS' limit may have cut is searched again in halves of the rows, so none is.

    Args:
        vectors: Rows, (b, d) float32.
        nearest: Makes lists of at most ``MOST_NEAREST``.
        device: Torch device.
    """

    def __init__(self, vectors: NDArray[np.float32], nearest: Nearest, device: torch.device) -> None:
        self._base = torch.from_numpy(np.ascontiguousarray(vectors)).to(device)
        self._nearest = nearest
        self._device = device

    def search(self, vectors: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Similarity and columns of the ``k`` most similar, (q, k) each, descending; column -1 where there is none."""
        queries = torch.from_numpy(vectors).to(self._device)
        found, columns = self._search(queries, 0, len(self._base), min(k, len(self._base)))
        similarity = np.full((len(vectors), k), -np.inf, dtype=np.float32)
        indices = np.full((len(vectors), k), -1, dtype=np.int64)
        similarity[:, : found.shape[1]] = found.cpu().numpy()
        indices[:, : found.shape[1]] = columns.cpu().numpy()
        return similarity, indices

    def range_search(
        self, vectors: NDArray[np.float32], radius: float
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]:
        """Where each query's hits begin (q + 1,), similarity and columns of all above ``radius``, by query."""
        queries = torch.from_numpy(vectors).to(self._device)
        parts = [(torch.zeros(0, dtype=torch.int64, device=self._device),) * 2]
        values = [torch.zeros(0, device=self._device)]
        waiting = [(torch.arange(len(vectors), device=self._device), 0, len(self._base), _FIRST_NEAREST)]
        while waiting:
            rows, start, stop, k = waiting.pop()
            k = min(k, stop - start)
            similarity, columns = self._nearest(queries[rows], self._base[start:stop], k)
            above = similarity > radius
            cut = above[:, -1] if k < stop - start else torch.zeros_like(above[:, -1])
            place = torch.nonzero(above & ~cut[:, None], as_tuple=True)
            parts.append((rows[place[0]], columns[place] + start))
            values.append(similarity[place])
            if bool(cut.any()):
                waiting += _smaller(rows[cut], start, stop, k)
        row, column = (torch.cat(part) for part in zip(*parts, strict=True))
        order = torch.argsort(row, stable=True)
        limits = np.concatenate([[0], torch.bincount(row, minlength=len(vectors)).cumsum(0).cpu().numpy()])
        return limits.astype(np.int64), torch.cat(values)[order].cpu().numpy(), column[order].cpu().numpy()

    def _search(self, queries: Tensor, start: int, stop: int, k: int) -> tuple[Tensor, Tensor]:
        if k <= MOST_NEAREST:
            similarity, columns = self._nearest(queries, self._base[start:stop], k)
            return similarity, columns + start
        middle = (start + stop) // 2
        halves = [
            self._search(queries, first, last, min(k, last - first))
            for first, last in ((start, middle), (middle, stop))
        ]
        similarity, columns = (torch.cat(part, dim=1) for part in zip(*halves, strict=True))
        best = torch.topk(similarity, k, dim=1)
        return best.values, columns.gather(1, best.indices)


def _smaller(rows: Tensor, start: int, stop: int, k: int) -> list[tuple[Tensor, int, int, int]]:
    """Searches in place of one whose lists may be cut: with longer lists, or of each half of the rows."""
    if k < MOST_NEAREST:
        return [(rows, start, stop, MOST_NEAREST)]
    middle = (start + stop) // 2
    return [(rows, start, middle, k), (rows, middle, stop, k)]
