"""Part ``knn``: neighbours by the adaptive rule, of 100,000 rows whole, at ImageNet's size by blocks of queries."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.generated import GeneratedRows, threshold_for, write_generated
from benchmarks.measuring import Part
from pipeline_lib.artifacts.neighbors import Neighbors, open_neighbors
from pipeline_lib.base.row_blocks import row_blocks
from pipeline_lib.features.blocks import ArrayFeatures, FeatureBlocks
from pipeline_lib.features.search_space import SearchSpace
from pipeline_lib.images.threads import map_in_order
from pipeline_lib.ucls.neighbors.adaptive import AdaptiveRule
from pipeline_lib.ucls.neighbors.candidates import Lists
from pipeline_lib.ucls.neighbors.engines import SearchMachine, exact_search
from pipeline_lib.ucls.neighbors.faiss_gpu import has_faiss_gpu
from pipeline_lib.ucls.neighbors.finding import find_neighbors
from pipeline_lib.ucls.neighbors.settings import EngineName

MEAN_LENGTHS = (50, 500)
_TILE = (4096, 16384)
_QUERY_ROWS = 8192


def engines(part: Part) -> tuple[EngineName, ...]:
    """What can search here: on CUDA torch, and FAISS where it is built for GPUs."""
    if part.device.type == "cpu":
        return ("auto",)
    return ("torch", "faiss") if has_faiss_gpu() else ("torch",)


def machine(part: Part, engine: EngineName) -> SearchMachine:
    """The machine with one of its engines."""
    return SearchMachine(_threads(), "cpu" if part.device.type == "cpu" else "cuda", _budget(), engine=engine)


def run(part: Part) -> None:
    """Measure both sizes."""
    small, full = ((2_000, 64), (6_000, 96)) if part.tiny else ((100_000, 768), (1_281_167, 2_048))
    whole(part, *small)
    by_blocks(part, *full)


def whole(part: Part, count: int, columns: int) -> None:
    """``find_neighbors`` from the artifact of the features to that of the lists."""
    classes = max(4, count // 1000)
    rows = GeneratedRows(columns, classes, part.device)
    features = write_generated(part.folder / "features", {"train": count}, rows, columns)
    space = SearchSpace(features.split("train"))
    part.row(f"products alone {count} x {columns}", **products_bound(part, space, count))
    for mean_length in lengths(part):
        rule = rule_for(threshold_for(space, mean_length, part.device), mean_length)
        lists = [found(part, space, rule, engine, part.folder / f"{engine}-{mean_length}") for engine in engines(part)]
        if len(lists) > 1:
            part.row("same lists by both", share=same_lists(*lists))


def found(part: Part, space: SearchSpace, rule: AdaptiveRule, engine: EngineName, folder: Path) -> Neighbors:
    """One call of ``find_neighbors``; gives what it wrote."""
    part.reset_peak()
    measures: dict[str, Any] = {}

    def search() -> None:
        measures.update(
            find_neighbors(
                space,
                folder,
                rule,
                machine=machine(part, engine),
                made_by={"stage": "benchmark"},
            )
        )

    seconds = part.seconds(search)
    part.row(
        f"find_neighbors {engine} {space.count} x {space.dimension}",
        threshold=rule.threshold,
        mean_length=float(measures["neighbors_mean"]),
        seconds=seconds,
        written_gib=_bytes(folder) / 2**30,
        **part.peaks(),
    )
    return open_neighbors(folder)


def same_lists(first: Neighbors, second: Neighbors) -> float:
    """Share of images whose lists hold the same images in the same order."""
    same = 0
    for one, other in zip(
        np.split(first.indices, first.indptr[1:-1]), np.split(second.indices, second.indptr[1:-1]), strict=True
    ):
        same += np.array_equal(one, other)
    return same / first.count


def by_blocks(part: Part, count: int, columns: int) -> None:
    """Blocks of queries against all rows, as many as the time allows; the rest is extrapolated, linear in queries."""
    what = f"{count} x {columns}"
    if part.left() < 45 and not part.tiny:
        part.row(f"{what}: left out", seconds_left=part.left())
        return
    rows = GeneratedRows(columns, max(4, count // 1281), part.device)
    artifact: list[Any] = []
    seconds = part.seconds(
        lambda: artifact.append(write_generated(part.folder / "full", {"train": count}, rows, columns))
    )
    part.row(f"generate and write {what}", seconds=seconds, written_gib=_bytes(part.folder / "full") / 2**30)
    spaces: list[SearchSpace] = []
    seconds = part.seconds(lambda: spaces.append(SearchSpace(artifact[0].split("train"))))
    part.row(f"mean of all rows {what}", seconds=seconds, **part.peaks())
    space = spaces[0]
    part.row(f"products alone {what}", **products_bound(part, space, count))
    vectors = np.empty((count, columns), dtype=np.float32)
    seconds = part.seconds(lambda: fill(vectors, space))
    part.row(f"read and normalise all rows {what}", threads=_threads(), seconds=seconds, **part.peaks())
    for number, mean_length in enumerate(reversed(lengths(part))):
        share = part.left() / (len(lengths(part)) - number) - 4
        rule = rule_for(threshold_for(space, mean_length, part.device), mean_length)
        for engine in engines(part):
            allowed = min(40.0, share / len(engines(part)))
            searched_blocks(part, what, ArrayFeatures(vectors), rule, engine, allowed)


def searched_blocks(
    part: Part, what: str, vectors: FeatureBlocks, rule: AdaptiveRule, engine: EngineName, seconds_allowed: float
) -> None:
    """Search blocks of queries until ``seconds_allowed`` are over, and extrapolate."""
    part.reset_peak()
    search = exact_search(vectors, rule, machine(part, engine)).search
    blocks = list(row_blocks(vectors.count, _QUERY_ROWS))
    spent: list[float] = []
    lists: list[Lists] = []
    searched = 0
    for block in blocks:
        queries = np.arange(block.start, block.stop)
        spent.append(part.seconds(lambda queries=queries: lists.append(search.lists(queries))))  # type: ignore[misc]
        searched += len(queries)
        if len(spent) > 1 and sum(spent) + spent[-1] > seconds_allowed:
            break
    # The first block also brings the vectors to the device.
    one = float(np.mean(spent[1:] or spent))
    part.row(
        f"search {engine} {what}",
        threshold=rule.threshold,
        mean_length=sum(len(one.indices) for one in lists) / searched,
        measured_blocks=len(spent),
        blocks=len(blocks),
        first_block_seconds=spent[0],
        block_seconds=one,
        extrapolated_seconds=spent[0] + one * (len(blocks) - 1),
        **part.peaks(),
    )


def products_bound(part: Part, space: SearchSpace, count: int) -> dict[str, float]:
    """What the inner products of all pairs take in float32 when nothing is done with them."""
    queries = torch.from_numpy(space.rows(slice(0, min(count, _TILE[0])))).to(part.device)
    base = torch.from_numpy(space.rows(slice(0, min(count, _TILE[1])))).to(part.device)
    out = torch.empty(len(queries), len(base), device=part.device)
    seconds = part.seconds_a_call(lambda: torch.mm(queries, base.T, out=out), at_least=1.0)
    pairs = len(queries) * len(base)
    return {
        "teraflops": 2 * pairs * space.dimension / seconds / 1e12,
        "extrapolated_seconds": seconds * count * count / pairs,
    }


def lengths(part: Part) -> tuple[int, ...]:
    """Mean lengths of lists that are measured."""
    return (5, 20) if part.tiny else MEAN_LENGTHS


def rule_for(threshold: float, mean_length: int) -> AdaptiveRule:
    """The adaptive rule: at least a tenth of the mean length, at most ten times it."""
    return AdaptiveRule(threshold, max(1, mean_length // 10), 10 * mean_length)


def fill(vectors: NDArray[np.float32], space: SearchSpace) -> None:
    """Read and normalise all rows in threads, into ``vectors`` (n, d)."""

    def read(block: slice) -> None:
        vectors[block] = space.rows(block)

    for _ in map_in_order(read, row_blocks(len(vectors), 4096), _threads()):
        pass


def _threads() -> int:
    return os.cpu_count() or 1


def _budget() -> int:
    """Bytes of vectors that may be held: half of the machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())
