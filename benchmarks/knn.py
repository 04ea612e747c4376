"""Ways to find neighbours with the adaptive rule, side by side: ``python -m benchmarks.knn --help``.

All ways are timed in turn within each repetition, so that other load on the machine meets them alike; ratios are to the
matrix products alone, of the fastest repetition of each. The threshold is set for lists of a given mean length.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from pipeline_lib.base.row_blocks import row_blocks, spread_rows
from pipeline_lib.features.blocks import ArrayFeatures
from pipeline_lib.ucls.neighbors.adaptive import AdaptiveRule
from pipeline_lib.ucls.neighbors.block_search import BlockSearch
from pipeline_lib.ucls.neighbors.device_search import DeviceSearch
from pipeline_lib.ucls.neighbors.flat import FlatBlocks
from pipeline_lib.ucls.neighbors.hits import radius_below
from pipeline_lib.ucls.neighbors.threads import faiss_threads, map_in_threads

_GROUP = 1024


def clustered_features(rows: int, dimension: int, cluster_size: int = 200) -> NDArray[np.float32]:
    """Gaussian clusters of different tightness, so that list lengths differ; rows have length one, (n, d)."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((max(2, rows // cluster_size), dimension), dtype=np.float32)
    vectors = rng.standard_normal((rows, dimension), dtype=np.float32)
    vectors *= rng.uniform(0.6, 1.6, (rows, 1)).astype(np.float32)
    vectors += centres[rng.integers(len(centres), size=rows)]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def threshold_for(vectors: NDArray[np.float32], mean_length: int) -> float:
    """Similarity that gives lists of this mean length, from the lists of some rows."""
    sample = spread_rows(len(vectors), 200)
    similarity = vectors[sample] @ vectors.T
    return float(np.partition(similarity.ravel(), -(mean_length + 1) * len(sample))[-(mean_length + 1) * len(sample)])


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

    def _in_groups(self, search: Callable[[NDArray[np.float32]], int]) -> int:
        groups = [self._vectors[block] for block in row_blocks(len(self._vectors), _GROUP)]
        return sum(map_in_threads(search, groups, self._threads))

    def products_only(self) -> int:
        """The matrix products alone, in tiles that stay in the cache."""

        def scan(queries: NDArray[np.float32]) -> int:
            for part in row_blocks(len(queries), 512):
                for tile in row_blocks(len(self._vectors), 2048):
                    _ = queries[part] @ self._vectors[tile].T
            return 0

        return self._in_groups(scan)

    def ours(self) -> int:
        """The exact search of this library: FAISS' threshold search and its nearest, in the cheaper order."""
        space = ArrayFeatures(self._vectors)
        search = BlockSearch(space, self._rule, FlatBlocks(space, 1 << 40), threads=self._threads)
        return sum(len(lists.indices) for lists in search.stream(np.arange(space.count)))

    def own_products(self) -> int:
        """The search of GPUs without FAISS, run on the CPU: products by torch, each made once."""
        space = ArrayFeatures(self._vectors)
        search = DeviceSearch(space, self._rule, torch.device("cpu"), memory=1 << 40, tile=8192, group=_GROUP)
        torch.set_num_threads(self._threads)
        return sum(len(lists.indices) for lists in search.stream(np.arange(space.count)))

    def nearest_k_max(self) -> int:
        """FAISS, the ``k_max`` nearest, cut by the rule."""

        def scan(queries: NDArray[np.float32]) -> int:
            similarity, _ = self._index.search(queries, self._rule.k_max + 1)
            rank = np.broadcast_to(np.arange(similarity.shape[1] - 1), similarity[:, 1:].shape)
            return int(self._rule.keeps(rank, similarity[:, 1:]).sum())

        return self._in_groups(scan)

    def range_only(self) -> int:
        """FAISS, all above the threshold, without the ``k_min`` nearest and without order."""

        def scan(queries: NDArray[np.float32]) -> int:
            limits, _, _ = self._index.range_search(queries, radius_below(self._rule.limit))
            return int(np.clip(np.diff(limits.astype(np.int64)) - 1, None, self._rule.k_max).sum())

        return self._in_groups(scan)


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


def table(vectors: NDArray[np.float32], rule: AdaptiveRule, threads: int, repeats: int) -> None:
    """Time all ways by one rule and print them."""
    ways = Ways(vectors, rule, threads)
    best = measure(
        {
            "matrix products only": ways.products_only,
            "this library (FAISS, Flat)": ways.ours,
            "own products (torch)": ways.own_products,
            "FAISS k_max nearest, cut": ways.nearest_k_max,
            "FAISS all above, unordered": ways.range_only,
        },
        repeats,
    )
    print(f"\n{len(vectors)} x {vectors.shape[1]}, threshold {rule.threshold:.3f}, k {rule.k_min} to {rule.k_max}")
    print(f"{'way':32} {'seconds':>8} {'ratio':>6} {'neighbours an image':>20}")
    bound = best["matrix products only"][0]
    for name, (seconds, pairs) in best.items():
        print(f"{name:32} {seconds:8.2f} {seconds / bound:6.2f} {pairs / len(vectors):20.1f}", flush=True)


def main() -> None:
    """Print a table for every length of the lists."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.knn", description=__doc__)
    parser.add_argument("--features", type=Path, help="a .npy file (n, d); default: drawn clusters")
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--dimension", type=int, default=768)
    parser.add_argument("--lists", default="50,500,3000", help="mean lengths of the lists")
    parser.add_argument("--k-min", type=int, default=50)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    print(f"{options.threads} threads, best of {options.repeats}; ratio to the products")
    for length in map(int, options.lists.split(",")):
        if options.features:
            values = np.asarray(np.load(options.features, mmap_mode="r")[: options.rows], dtype=np.float32)
            vectors = values - values.mean(axis=0)
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        else:
            vectors = clustered_features(options.rows, options.dimension, 2 * length)
        rule = AdaptiveRule(threshold_for(vectors, length), options.k_min, min(4 * length, len(vectors)))
        with faiss_threads(options.threads), threadpool_limits(limits=options.threads, user_api="blas"):
            table(vectors, rule, options.threads, options.repeats)


if __name__ == "__main__":
    main()
