"""Settings of the consensus, and how a method says that it cannot run."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipeline_lib.base.registry import OneOf
from pipeline_lib.base.settings import Count, Natural, Settings
from pipeline_lib.ucls.consensus.methods import AUTO, DEFAULT_METHODS, METHODS


class MethodSkippedError(Exception):
    """A consensus method does not run on this ensemble; the message is the reason, one line."""


class ConsensusSettings(Settings):
    """Cluster ensembles over the heads (thesis 5.1.2); all of it is recorded in the artifact.

    Attributes:
        methods: Methods that run: CSPA, HGPA and MCLA (Strehl & Ghosh 2002), ``vote`` after matching the heads, and
            ``soft_vote``, the mean probability of heads that number their clusters alike.
        choose: The method whose labels count; ``auto``: the one with the highest average NMI with the heads.
        choose_on: Where ``auto`` chooses: on ``train`` for all splits, or on ``each`` split for itself, as the thesis'
            results on the validation images (†) come from these alone.
        vertex_weight: MCLA's weight of a cluster in the meta-graph: ``unit`` (right for unbalanced classes) or
            ``size`` (Strehl & Ghosh).
        imbalance: How much larger than its share the largest part of a partition may be (Strehl & Ghosh: 0.05).
        jaccard_minimum: MCLA leaves out edges of the meta-graph below this Jaccard measure.
        mcla_runs: METIS runs of MCLA, each with the hyperedges in another order; the lowest cut is taken.
        cspa_image_limit: CSPA is skipped above this number of images (10,000 in the tool that the thesis used); null:
            never.
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

    methods: Annotated[tuple[Annotated[str, OneOf(METHODS)], ...], Field(strict=False, min_length=1)] = DEFAULT_METHODS
    choose: Annotated[str, OneOf(METHODS, AUTO)] = AUTO
    choose_on: Literal["train", "each"] = "train"
    vertex_weight: Literal["unit", "size"] = "unit"
    imbalance: Annotated[float, Field(gt=0, le=1)] = 0.05
    jaccard_minimum: Annotated[float, Field(ge=0, lt=1)] = 0.01
    mcla_runs: Count = 5
    cspa_image_limit: Natural | None = None
    cspa_exact_limit: Natural = 10_000
    cspa_neighbors: Count = 15
    cspa_candidates: Count = 50
    cspa_over_partition: Annotated[tuple[Count, ...], Field(strict=False, min_length=1)] = (1, 4)
    cspa_group_limit: Count = 4000
    hgpa_tool: Literal["metis", "mtkahypar"] = "metis"
    hgpa_pin_limit: Natural = 20_000_000
    vote_reference: Literal["mcla"] | Natural = "mcla"

    @model_validator(mode="after")
    def _choice_among_methods(self) -> Self:
        if len(set(self.methods)) < len(self.methods):
            raise ValueError(f"methods = {list(self.methods)}: none may stand there twice")
        if self.choose not in (AUTO, *self.methods):
            raise ValueError(f"choose = {self.choose!r}: allowed: {AUTO}, {', '.join(self.methods)}")
        return self
