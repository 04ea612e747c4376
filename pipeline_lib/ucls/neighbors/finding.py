"""The neighbour search as one call: search, adaptive rule, artifact and its measures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline_lib.artifacts.neighbors import open_neighbors, write_neighbors
from pipeline_lib.base.errors import UserError
from pipeline_lib.base.progress import progress
from pipeline_lib.base.settings import DeviceName
from pipeline_lib.features.search_space import SearchSpace
from pipeline_lib.ucls.neighbors.adaptive import AdaptiveRule
from pipeline_lib.ucls.neighbors.candidates import Lists
from pipeline_lib.ucls.neighbors.factory_index import FactoryIndex
from pipeline_lib.ucls.neighbors.products import NumpyProducts, Products, TorchProducts
from pipeline_lib.ucls.neighbors.search import ExactSearch
from pipeline_lib.ucls.neighbors.statistics import list_statistics, mutual_share

EXACT = "exact"
QUERY_ROWS = 4096
BASE_ROWS = 65536
_RECALL_SAMPLE = 256


def find_neighbors(
    space: SearchSpace,
    folder: Path,
    *,
    threshold: float,
    k_min: int,
    k_max: int,
    adaptive: bool = True,
    index: str = EXACT,
    threads: int = 1,
    device: DeviceName = "auto",
    budget: int = 4 << 30,
    query_rows: int = QUERY_ROWS,
    base_rows: int = BASE_ROWS,
    seed: int = 0,
    made_by: Mapping[str, Any],
) -> dict[str, Any]:
    """Find the neighbours of every row by cosine similarity and write them (thesis 5.2.5).

    Memory is bounded by ``query_rows * k_max`` candidates (about 60 bytes each), plus the vectors: all of them where
    they fit ``budget``, else ``base_rows`` of them.

    Args:
        space: The vectors.
        folder: Target folder of the artifact.
        threshold: Cosine similarity from which an image is a neighbour, -1 to 1; 1 keeps the ``k_min`` nearest only.
        k_min: Neighbours that every image gets (all others where there are fewer).
        k_max: Longest list.
        adaptive: Whether the threshold counts; otherwise every list is ``k_min`` long.
        index: ``exact``, or a FAISS factory string (:class:`FactoryIndex`), which is searched on the CPU.
        threads: CPU threads. They do not change the lists of the exact search.
        device: Where exact products are computed; ``auto`` takes CUDA where there is one.
        budget: Bytes up to which the space is held in memory as float32.
        query_rows: Rows searched for at a time.
        base_rows: Rows of the space that are read at a time.
        seed: Seed of an index's training and of the sample of its recall.
        made_by: Stage, parameters and seed, for ``meta.json``.

    Returns:
        Measures of the lists (:func:`list_statistics`), ``zero_rows`` (rows similar to none), ``mutual_share``
        (:func:`mutual_share`); with a FAISS index also ``index_recall``, the share of the ``k_min`` nearest that it
        found for a sample of rows.

    Raises:
        UserError: A parameter is out of its range, or there are fewer than two rows.
    """
    _check(space, threads=threads, query_rows=query_rows, base_rows=base_rows)
    rule = AdaptiveRule(threshold, k_min, k_max, adaptive)
    products = _products(device, index)
    settings = {
        "threshold": threshold,
        "k_min": k_min,
        "k_max": k_max,
        "adaptive": adaptive,
        "centred": space.centre,
        "normalise_blocks": space.normalise_blocks,
        "blocks": list(space.columns),
        "index": index,
        "computed_on": products.name,
        "seed": seed,
    }
    exact = ExactSearch(space, rule, products, threads=threads, base_rows=base_rows, budget=budget)
    approximate = None
    if index != EXACT:
        approximate = FactoryIndex(space, index, seed=seed, threads=threads, block_rows=base_rows)
    queries = [np.arange(start, min(start + query_rows, space.count)) for start in range(0, space.count, query_rows)]
    with write_neighbors(folder, space.count, settings, made_by) as writer:
        for rows in progress(queries, "neighbours", unit="block"):
            writer.append(*(exact.lists(rows) if approximate is None else _completed(approximate, exact, rule, rows)))
    neighbors = open_neighbors(folder)
    measures = list_statistics(neighbors) | {"zero_rows": space.zero_rows(), "mutual_share": mutual_share(neighbors)}
    if approximate is not None:
        nearest = AdaptiveRule(threshold, k_min, k_min, adaptive=False)
        truth = ExactSearch(space, nearest, products, threads=threads, base_rows=base_rows, budget=budget)
        sample = np.random.default_rng(seed).permutation(space.count)[:_RECALL_SAMPLE]
        measures["index_recall"] = recall(approximate.lists(sample, nearest), truth.lists(sample))
    return measures


def recall(found: Lists, truth: Lists) -> float:
    """Share of the true neighbours that were found, over all pairs of the same queries."""
    owners = [np.repeat(np.arange(len(lists.lengths)), lists.lengths) for lists in (found, truth)]
    pairs = [owner << 40 | lists.indices for owner, lists in zip(owners, (found, truth), strict=True)]
    return float(np.isin(pairs[1], pairs[0]).mean())


def _check(space: SearchSpace, **counts: int) -> None:
    if space.count < 2:
        raise UserError(f"features: {space.count} image(s); a neighbour search needs at least 2")
    for name, value in counts.items():
        if value < 1:
            raise UserError(f"{name} = {value}: at least 1 is needed")


def _products(device: DeviceName, index: str) -> Products:
    if index != EXACT:
        if device in ("cuda", "mps"):
            raise UserError(
                f"device = {device}: index = {index} is searched on the CPU; use auto or cpu, or index exact"
            )
        return NumpyProducts()
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("device = cuda: torch finds no CUDA device here; use auto or cpu")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return NumpyProducts() if device == "cpu" else TorchProducts(device)


def _completed(index: FactoryIndex, exact: ExactSearch, rule: AdaptiveRule, queries: NDArray[np.int64]) -> Lists:
    """Lists of an approximate index; rows for which it found too few get their exact lists."""
    found = index.lists(queries, rule)
    short = np.flatnonzero(found.lengths < min(rule.k_min, index.count - 1))
    if not len(short):
        return found
    parts = [list(zip(*_separate(lists), strict=True)) for lists in (found, exact.lists(queries[short]))]
    for position, replacement in zip(short, parts[1], strict=True):
        parts[0][position] = replacement
    indices, similarity = zip(*parts[0], strict=True)
    return Lists(np.array([len(row) for row in indices]), np.concatenate(indices), np.concatenate(similarity))


def _separate(lists: Lists) -> tuple[list[NDArray[np.int64]], list[NDArray[np.float32]]]:
    """Indices and similarity of each list by itself."""
    ends = np.cumsum(lists.lengths)[:-1]
    return np.split(lists.indices, ends), np.split(lists.similarity, ends)
