"""Ways to find neighbours with the adaptive rule, side by side: ``python -m benchmarks.knn --help``.

All ways are timed in turn within each repetition, so that other load on the machine meets them alike; ratios are to
FAISS with the ``k_max`` nearest, of the fastest repetition of each.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from pipeline_lib.features.search_space import SearchSpace
from pipeline_lib.ucls.neighbors.adaptive import AdaptiveRule
from pipeline_lib.ucls.neighbors.factory_index import faiss_threads
from pipeline_lib.ucls.neighbors.products import NumpyProducts, reproducible_products
from pipeline_lib.ucls.neighbors.search import ExactSearch

_QUERY_ROWS = 4096


@dataclass(frozen=True)
class ArrayBlocks:
    """Features in memory.

    Attributes:
        values: Features, (n, d) float32.
    """

    values: NDArray[np.float32]

    @property
    def count(self) -> int:
        """Number of rows."""
        return len(self.values)

    @property
    def dimension(self) -> int:
        """Number of columns."""
        return int(self.values.shape[1])

    @property
    def columns(self) -> dict[str, tuple[int, int]]:
        """One block."""
        return {"features": (0, self.dimension)}

    def rows(self, indices: slice | NDArray[np.int64]) -> NDArray[np.float32]:
        """Rows (b, d)."""
        return self.values[indices]


def clustered_features(rows: int, dimension: int, cluster_size: int = 200) -> NDArray[np.float32]:
    """Gaussian clusters of different tightness, so that list lengths differ."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((max(2, rows // cluster_size), dimension), dtype=np.float32)
    spread = rng.uniform(0.6, 1.6, (rows, 1)).astype(np.float32)
    noise = rng.standard_normal((rows, dimension), dtype=np.float32)
    return centres[rng.integers(len(centres), size=rows)] + noise * spread


class Ways:
    """The ways to search; each returns the number of neighbours (without the images themselves).

    Args:
        vectors: Vectors of length one, (n, d).
        rule: The adaptive rule.
        threads: CPU threads.
    """

    def __init__(self, vectors: NDArray[np.float32], rule: AdaptiveRule, threads: int) -> None:
        self._vectors = vectors
        self._rule = rule
        self._threads = threads
        self._index: Any = faiss.IndexFlatIP(vectors.shape[1])
        self._index.add(vectors)

    def _queries(self) -> list[NDArray[np.int64]]:
        count = len(self._vectors)
        return [np.arange(start, min(start + _QUERY_ROWS, count)) for start in range(0, count, _QUERY_ROWS)]

    def products_only(self) -> int:
        """The matrix products alone, in the tiles of the exact search."""
        products = NumpyProducts()
        starts = range(0, len(self._vectors), products.group)

        def scan(start: int) -> None:
            for first in range(0, len(self._vectors), products.tile):
                tile = self._vectors[first : first + products.tile]
                products.scores(self._vectors[start : start + products.group], tile)

        with reproducible_products(), ThreadPoolExecutor(self._threads) as pool:
            list(pool.map(scan, starts))
        return 0

    def tiles(self) -> int:
        """The exact search of this library: tiles, and of each only what can be a neighbour."""
        search = ExactSearch(
            ArrayBlocks(self._vectors),
            self._rule,
            NumpyProducts(),
            threads=self._threads,
            base_rows=65536,
            budget=self._vectors.nbytes,
        )
        return sum(len(search.lists(rows).indices) for rows in self._queries())

    def nearest_k_min(self) -> int:
        """FAISS, the ``k_min`` nearest: what a search without the threshold costs."""
        for rows in self._queries():
            self._index.search(self._vectors[rows], self._rule.k_min + 1)
        return len(self._vectors) * self._rule.k_min

    def nearest_k_max(self) -> int:
        """FAISS, the ``k_max`` nearest, cut by the rule."""
        pairs = 0
        for rows in self._queries():
            similarity, _ = self._index.search(self._vectors[rows], self._rule.k_max + 1)
            rank = np.broadcast_to(np.arange(similarity.shape[1] - 1), similarity[:, 1:].shape)
            pairs += int(self._rule.keeps(rank, similarity[:, 1:]).sum())
        return pairs

    def range_then_nearest(self) -> int:
        """FAISS range search, then the ``k_min`` nearest for rows that lack them; lists are counted, not sorted."""
        pairs = 0
        for rows in self._queries():
            limits, _, _ = self._index.range_search(self._vectors[rows], float(self._rule.limit))
            lengths = np.diff(limits.astype(np.int64)) - 1
            lacking = rows[lengths < self._rule.k_min]
            if len(lacking):
                self._index.search(self._vectors[lacking], self._rule.k_min + 1)
            pairs += int(np.clip(lengths, self._rule.k_min, self._rule.k_max).sum())
        return pairs

    def nearest_then_range(self) -> int:
        """FAISS, the ``k_min`` nearest, then range search for rows whose last one reaches the threshold."""
        pairs = 0
        for rows in self._queries():
            similarity, _ = self._index.search(self._vectors[rows], self._rule.k_min + 1)
            more = rows[similarity[:, -1] >= self._rule.limit]
            pairs += self._rule.k_min * (len(rows) - len(more))
            if len(more):
                limits, _, _ = self._index.range_search(self._vectors[more], float(self._rule.limit))
                pairs += int(np.clip(np.diff(limits.astype(np.int64)) - 1, None, self._rule.k_max).sum())
        return pairs


def measure(ways: dict[str, Callable[[], int]], repeats: int) -> dict[str, tuple[float, int]]:
    """Fastest time (s) and number of neighbours of each way."""
    best: dict[str, tuple[float, int]] = {}
    for _ in range(repeats):
        for name, way in ways.items():
            started = time.perf_counter()
            pairs = way()
            seconds = time.perf_counter() - started
            best[name] = (min(seconds, best.get(name, (seconds, 0))[0]), pairs)
    return best


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.knn", description=__doc__)
    parser.add_argument("--features", type=Path, help="a .npy file (n, d); default: drawn clusters")
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--dimension", type=int, default=768)
    parser.add_argument("--threshold", type=float, default=0.3)
    parser.add_argument("--k-min", type=int, default=50)
    parser.add_argument("--k-max", type=int, default=500)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    if options.features:
        values = np.asarray(np.load(options.features, mmap_mode="r")[: options.rows], dtype=np.float32)
    else:
        values = clustered_features(options.rows, options.dimension)
    vectors = SearchSpace(ArrayBlocks(values)).rows(slice(0, len(values)))
    rule = AdaptiveRule(options.threshold, options.k_min, options.k_max)
    ways = Ways(vectors, rule, options.threads)
    table = {
        "matrix products only": ways.products_only,
        "this library (index: exact)": ways.tiles,
        "FAISS k_min nearest (no threshold)": ways.nearest_k_min,
        "FAISS k_max nearest, cut": ways.nearest_k_max,
        "FAISS range, then k_min for the rest": ways.range_then_nearest,
        "FAISS k_min, then range for the rest": ways.nearest_then_range,
    }
    with faiss_threads(options.threads):
        best = measure(table, options.repeats)
    print(f"{len(vectors)} x {vectors.shape[1]}, threshold {rule.threshold}, k {rule.k_min} to {rule.k_max}")
    print(f"{options.threads} threads, best of {options.repeats}\n")
    print(f"{'way':38} {'seconds':>8} {'ratio':>6} {'neighbours an image':>20}")
    reference = best["FAISS k_max nearest, cut"][0]
    for name, (seconds, pairs) in best.items():
        print(f"{name:38} {seconds:8.2f} {seconds / reference:6.2f} {pairs / len(vectors):20.1f}")


if __name__ == "__main__":
    main()
