"""Settings of the consensus methods, and how a method says that it cannot run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pipeline_lib.base.errors import UserError


class MethodSkippedError(Exception):
    """A consensus method does not run on this ensemble; the message is the reason, one line."""


@dataclass(frozen=True)
class ConsensusSettings:
    """How the methods work; all of it is recorded in the artifact.

    Attributes:
        vertex_weight: MCLA's weight of a cluster in the meta-graph: ``unit`` (right for unbalanced classes) or
            ``size`` (Strehl & Ghosh).
        imbalance: How much larger than its share the largest part of a partition may be (Strehl & Ghosh: 0.05).
        jaccard_minimum: MCLA leaves out edges of the meta-graph below this Jaccard measure.
        mcla_runs: METIS runs of MCLA, each with the hyperedges in another order; the lowest cut is taken.
        cspa_exact_limit: Up to this number of images CSPA compares all pairs; above, sampled ones.
        cspa_neighbors: CSPA keeps this many most similar images of each.
        cspa_candidates: Sampled CSPA compares an image with about this many members of its clusters, the same number
            in each head.
        cspa_over_partition: CSPA cuts into this many times the classes, then merges by average link (1: no merging);
            of several factors the labelling with the highest average NMI is taken.
        cspa_group_limit: Upper limit of the groups that are merged; the factors above get smaller for it.
        hgpa_tool: ``metis`` (star expansion) or ``mtkahypar`` (the hypergraph itself; an optional package).
        hgpa_pin_limit: HGPA is skipped above this number of images times heads.
        vote_reference: What heads are aligned to: MCLA's labels, or the head of this number.
    """

    vertex_weight: Literal["unit", "size"] = "unit"
    imbalance: float = 0.05
    jaccard_minimum: float = 0.01
    mcla_runs: int = 5
    cspa_exact_limit: int = 10_000
    cspa_neighbors: int = 15
    cspa_candidates: int = 50
    cspa_over_partition: tuple[int, ...] = (1, 4)
    cspa_group_limit: int = 4000
    hgpa_tool: Literal["metis", "mtkahypar"] = "metis"
    hgpa_pin_limit: int = 20_000_000
    vote_reference: Literal["mcla"] | int = "mcla"

    def __post_init__(self) -> None:
        if self.vertex_weight not in ("unit", "size"):
            raise UserError(f"vertex_weight = {self.vertex_weight}: allowed: unit, size")
        if self.hgpa_tool not in ("metis", "mtkahypar"):
            raise UserError(f"hgpa_tool = {self.hgpa_tool}: allowed: metis, mtkahypar")
        if not 0 < self.imbalance <= 1 or not 0 <= self.jaccard_minimum < 1:
            raise UserError(
                f"imbalance = {self.imbalance}, jaccard_minimum = {self.jaccard_minimum}: "
                "allowed: above 0 to 1, and 0 to below 1"
            )
        for name in ("mcla_runs", "cspa_neighbors", "cspa_candidates", "cspa_group_limit"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} = {getattr(self, name)}: allowed: 1 or more")
        if not self.cspa_over_partition or min(self.cspa_over_partition) < 1:
            raise UserError(f"cspa_over_partition = {self.cspa_over_partition}: allowed: factors of 1 or more")
        for name in ("cspa_exact_limit", "hgpa_pin_limit"):
            if getattr(self, name) < 0:
                raise UserError(f"{name} = {getattr(self, name)}: allowed: 0 or more")
        reference = self.vote_reference
        if reference != "mcla" and (not isinstance(reference, int) or reference < 0):
            raise UserError(f"vote_reference = {reference}: allowed: mcla, or the number of a head")
