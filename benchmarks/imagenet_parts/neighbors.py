"""Part ``knn``: the stage as a whole where it fits the time, else some queries against all rows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from benchmarks.generated import planted_classes, threshold_for, write_planted_lists
from benchmarks.imagenet_parts.stage_runs import context_of, fits, run_whole, stage_row
from benchmarks.measuring import Part
from pipeline_lib.artifacts.features import open_features
from pipeline_lib.features.search_space import SearchSpace
from pipeline_lib.ucls.neighbors.adaptive import AdaptiveRule
from pipeline_lib.ucls.neighbors.engines import ExactSearch, SearchMachine, exact_search
from stages import knn

_QUERIES = {"tiny": (64, 128), "cpu": (128, 512), "cuda": (4096, 16384)}


@dataclass(frozen=True)
class Estimate:
    """What a search of all rows takes.

    Attributes:
        measured: Seconds that were measured.
        whole: Seconds of all queries.
        queries: Queries that were measured.
        length: Mean length of their lists.
    """

    measured: float
    whole: float
    queries: int
    length: float


def run(part: Part) -> None:
    """Estimate the stage from some queries; run it where that fits, and else write planted lists for what follows."""
    images = part.options["images"]
    context = context_of(part, "knn")
    features = open_features(context.artifact("features"))
    seen, machine = context.params.features, context.params.machine
    spaces: list[SearchSpace] = []
    mean = part.seconds(
        lambda: spaces.append(
            SearchSpace(features.split("train"), centre=seen.centre, normalise_blocks=seen.normalise_blocks)
        )
    )
    threshold = threshold_for(spaces[0], part.options["mean_length"], part.device)
    context = context_of(part, "knn", knn__threshold=threshold)
    section = context.params.knn
    rule = AdaptiveRule(threshold, int(section.k_min), int(section.k_max))
    searching = SearchMachine(machine.thread_count, machine.device, machine.memory_bytes)
    part.reset_peak()
    search = exact_search(spaces[0], rule, searching)
    found = estimate(part, search)
    del search
    if fits(part, mean + found.whole):
        seconds = run_whole(part, knn.run, context)
        further = {"estimated_before_seconds": mean + found.whole, "mean_length": found.length}
        stage_row(part, "knn", measured=seconds, grows_with="images²", written=context.artifact("neighbors"), **further)
        return
    stage_row(
        part,
        "knn",
        measured=mean + found.measured,
        share=found.queries / images,
        whole=mean + found.whole,
        grows_with="images² (search alone)",
        mean_length=found.length,
    )
    labels = planted_classes(images, part.options["classes"], 0)
    write_planted_lists(context.artifact("neighbors"), labels, int(section.k_min))


def estimate(part: Part, search: ExactSearch) -> Estimate:
    """Three calls tell what reading all rows takes for the first time, for every further walk, and for each query."""
    few, many = _QUERIES["tiny" if part.tiny else part.device.type]
    count = search.search.count
    few, many = min(few, count // 2), min(many, count)
    rows = np.random.default_rng(0).permutation(count)
    lengths: list[float] = []

    def asked(queries: int) -> float:
        chosen = np.sort(rows[:queries])
        return part.seconds(lambda: lengths.append(float(search.search.lists(chosen).lengths.mean())))

    first, again, long = asked(few), asked(few), asked(many)
    one = max(0.0, long - again) / (many - few)
    walk = max(0.0, again - few * one)
    whole = max(0.0, first - again) + count * one + walk * math.ceil(count / search.search.chunk)
    return Estimate(first + again + long, whole, 2 * few + many, lengths[-1])
