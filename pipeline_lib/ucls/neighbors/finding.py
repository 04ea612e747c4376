"""The neighbour search as one call: search, adaptive rule, artifact and its measures."""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline_lib.artifacts.neighbors import entry_bytes, open_neighbors, write_neighbors
from pipeline_lib.base.errors import UserError
from pipeline_lib.base.gathering import from_first, spread
from pipeline_lib.base.progress import progress
from pipeline_lib.base.row_blocks import row_blocks, spread_rows
from pipeline_lib.base.runtime import is_distributed, is_first
from pipeline_lib.features.search_space import SearchSpace
from pipeline_lib.ucls.neighbors.adaptive import AdaptiveRule
from pipeline_lib.ucls.neighbors.candidates import Lists, joined
from pipeline_lib.ucls.neighbors.engines import FLAT, Search, SearchMachine, exact_search
from pipeline_lib.ucls.neighbors.factory_index import FactoryIndex
from pipeline_lib.ucls.neighbors.statistics import list_statistics, mutual_share

_SAMPLE = 256
_FREE_SHARE = 0.9


def find_neighbors(
    space: SearchSpace,
    folder: Path,
    rule: AdaptiveRule,
    *,
    index: str = FLAT,
    machine: SearchMachine,
    size_limit: int | None = None,
    seed: int = 0,
    made_by: Mapping[str, Any],
) -> dict[str, Any]:
    """Find the neighbours of every row by cosine similarity and write them (thesis 5.2.5).

    Args:
        space: The vectors.
        folder: Target folder of the artifact.
        rule: Which candidates are neighbours.
        index: ``Flat`` (every pair is compared), or another FAISS factory string (:class:`FactoryIndex`), which is
            searched on the CPU.
        machine: What there is to compute with. Threads do not change the lists.
        size_limit: Bytes that the artifact may have, measured on a sample before the search; None: no limit but the
            disk's.
        seed: Seed of an index's training and of the sample of its recall.
        made_by: Stage, parameters and seed, for ``meta.json``.

    Returns:
        Measures of the lists (:func:`list_statistics`), ``zero_rows`` (rows similar to none), ``mutual_share``
        (:func:`mutual_share`); with another index than ``Flat`` also ``index_recall``, the share of the ``k_min``
        nearest that it found for a sample of rows. Of several processes only the first writes, and the others get
        nothing.

    Raises:
        UserError: A parameter is out of its range, there are fewer than two rows, or the artifact would pass the limit.
    """
    if space.count < 2:
        raise UserError(f"features: {space.count} image(s); a neighbour search needs at least 2")
    exact = exact_search(space, rule, machine, index)
    search, approximate = exact.search, None
    if index != FLAT:
        approximate = FactoryIndex(space, index, seed=seed, threads=machine.threads)
        search = _Completed(approximate.search(rule), exact.search, rule)
    _check_size(search, rule, folder, size_limit)
    settings = {
        "threshold": rule.threshold,
        "k_min": rule.k_min,
        "k_max": rule.k_max,
        "adaptive": rule.adaptive,
        "centred": space.centre,
        "normalise_blocks": space.normalise_blocks,
        "blocks": list(space.columns),
        "index": index,
        "computed_on": exact.name,
        "seed": seed,
    }
    searched = _spread(search)
    if not is_first():
        deque(searched, maxlen=0)
        return {}
    with (
        write_neighbors(folder, space.count, settings, made_by) as writer,
        progress(list[Lists](), "neighbours", total=space.count, unit="images") as bar,
    ):
        for lists in searched:
            writer.append(*lists)
            bar.update(len(lists.lengths))
    neighbors = open_neighbors(folder)
    measures = list_statistics(neighbors) | {"zero_rows": space.zero_rows(), "mutual_share": mutual_share(neighbors)}
    if approximate is not None:
        nearest = AdaptiveRule(rule.threshold, rule.k_min, rule.k_min, adaptive=False)
        sample = np.random.default_rng(seed).permutation(space.count)[:_SAMPLE]
        truth = exact_search(space, nearest, machine, index).search.lists(sample)
        measures["index_recall"] = recall(approximate.search(nearest).lists(sample), truth)
    return measures


def recall(found: Lists, truth: Lists) -> float:
    """Share of the true neighbours that were found, over all pairs of the same queries."""
    owners = [np.repeat(np.arange(len(lists.lengths)), lists.lengths) for lists in (found, truth)]
    pairs = [owner << 40 | lists.indices for owner, lists in zip(owners, (found, truth), strict=True)]
    return float(np.isin(pairs[1], pairs[0]).mean())


def expected_length(search: Search) -> float:
    """Mean length of the lists of some rows spread over the data set."""
    return float(search.lists(spread_rows(search.count, _SAMPLE)).lengths.mean())


def _check_size(search: Search, rule: AdaptiveRule, folder: Path, limit: int | None) -> None:
    """Stop before lists are made that pass the limit or the disk; where the longest lists fit, nothing is searched."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    disk = int(_FREE_SHARE * shutil.disk_usage(folder.parent).free)
    allowed = disk if limit is None else min(limit, disk)
    entries = search.count * entry_bytes(search.count)
    if rule.longest * entries <= allowed:
        return
    length = expected_length(search)
    if length * entries > allowed:
        bound = "what is free on the disk" if allowed == disk else "knn.artifact_gb"
        raise UserError(
            f"knn.threshold = {rule.threshold}: lists of {length:.0f} neighbours would take "
            f"{length * entries / 2**30:.1f} GiB, more than {allowed / 2**30:.1f} GiB ({bound}); a higher threshold or "
            f"a lower knn.k_max (now {rule.k_max}) gives shorter ones"
        )


def _spread(search: Search) -> Iterator[Lists]:
    """Lists of all rows in order, on the first process; each chunk of queries is searched by one of the processes."""
    if not is_distributed():
        return search.stream(np.arange(search.count))
    # By what memory is free, processes may differ in it; they must share the work in the same pieces.
    chunk = from_first(search.chunk)
    return spread(lambda block: search.lists(np.arange(block.start, block.stop)), [*row_blocks(search.count, chunk)])


class _Completed:
    """An approximate search; rows for which it finds too few get their exact lists."""

    def __init__(self, index: Search, exact: Search, rule: AdaptiveRule) -> None:
        self._index, self._exact, self._rule = index, exact, rule
        self.count, self.chunk = index.count, index.chunk

    def stream(self, queries: NDArray[np.int64]) -> Iterator[Lists]:
        """Lists of consecutive queries (q,), a group after the other."""
        first = 0
        for found in self._index.stream(queries):
            rows = queries[first : first + len(found.lengths)]
            first += len(rows)
            short = np.flatnonzero(found.lengths < min(self._rule.k_min, self.count - 1))
            yield _replaced(found, short, self._exact.lists(rows[short])) if len(short) else found

    def lists(self, queries: NDArray[np.int64]) -> Lists:
        """Lists of all queries (q,)."""
        return joined(self.stream(queries))


def _replaced(found: Lists, places: NDArray[np.int64], better: Lists) -> Lists:
    """Lists of which those at some places are replaced by others."""
    parts = [list(zip(*_separate(lists), strict=True)) for lists in (found, better)]
    for place, replacement in zip(places, parts[1], strict=True):
        parts[0][place] = replacement
    indices, similarity = zip(*parts[0], strict=True)
    return Lists(np.array([len(row) for row in indices]), np.concatenate(indices), np.concatenate(similarity))


def _separate(lists: Lists) -> tuple[list[NDArray[np.int64]], list[NDArray[np.float32]]]:
    """Indices and similarity of each list by itself."""
    ends = np.cumsum(lists.lengths)[:-1]
    return np.split(lists.indices, ends), np.split(lists.similarity, ends)
