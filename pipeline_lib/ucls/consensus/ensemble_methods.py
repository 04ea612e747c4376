"""What every consensus method gets, the ensemble of heads, and the methods on it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline_lib.base.contingency import Integers
from pipeline_lib.ucls.consensus.cspa import cspa
from pipeline_lib.ucls.consensus.hgpa import hgpa
from pipeline_lib.ucls.consensus.hypergraph import Hyperedges, find_hyperedges
from pipeline_lib.ucls.consensus.mcla import Labelling, mcla
from pipeline_lib.ucls.consensus.settings import ConsensusSettings, MethodSkippedError
from pipeline_lib.ucls.consensus.vote import soft_vote, vote


@dataclass(frozen=True)
class Ensemble:
    """One ensemble of heads.

    Attributes:
        assignments: Cluster ids of all heads, integers (H, n), may be memory-mapped; ids may be unused.
        classes: Number of classes k.
        settings: How the methods work.
        seed: Seed of every random choice.
        mean_probability: Mean class probability of heads that number their clusters alike, (n, k), or None.
    """

    assignments: Integers
    classes: int
    settings: ConsensusSettings
    seed: int
    mean_probability: NDArray[np.floating[Any]] | None = None

    @cached_property
    def edges(self) -> Hyperedges:
        """The hyperedges of all heads, in the order of their first image."""
        return find_hyperedges(self.assignments, "first")

    @cached_property
    def mcla(self) -> Labelling:
        """MCLA's labels; the vote starts from them too, so they are computed once."""
        return mcla(self.assignments, self.edges, self.classes, self.settings, self.seed)


def cspa_labelling(ensemble: Ensemble) -> Labelling:
    """CSPA, see :func:`~pipeline_lib.ucls.consensus.cspa.cspa`."""
    return cspa(ensemble.assignments, ensemble.edges, ensemble.classes, ensemble.settings, ensemble.seed)


def hgpa_labelling(ensemble: Ensemble) -> Labelling:
    """HGPA, see :func:`~pipeline_lib.ucls.consensus.hgpa.hgpa`."""
    return hgpa(ensemble.assignments, ensemble.edges, ensemble.classes, ensemble.settings, ensemble.seed)


def mcla_labelling(ensemble: Ensemble) -> Labelling:
    """MCLA, see :func:`~pipeline_lib.ucls.consensus.mcla.mcla`."""
    return ensemble.mcla


def vote_labelling(ensemble: Ensemble) -> Labelling:
    """The vote of heads that were aligned to MCLA's labels, or to one of them."""
    assignments, edges, classes = ensemble.assignments, ensemble.edges, ensemble.classes
    reference = ensemble.settings.vote_reference
    if reference == "mcla":
        return vote(assignments, edges, ensemble.mcla.labels, classes, ensemble.seed)
    rows = edges.row_of[reference][assignments[reference]] - edges.offsets[reference]
    width = int(edges.offsets[reference + 1] - edges.offsets[reference])
    if width > classes:
        raise MethodSkippedError(
            f"vote_reference = {reference}: this head has {width} clusters, more than the {classes} classes"
        )
    return vote(assignments, edges, rows, classes, ensemble.seed)


def soft_vote_labelling(ensemble: Ensemble) -> Labelling:
    """The most probable class of heads that number their clusters alike."""
    if ensemble.mean_probability is None:
        raise MethodSkippedError(
            "the mean probability of aligned heads is needed: train_heads.alignment above 0 and "
            "assign.probabilities = mean"
        )
    return soft_vote(ensemble.mean_probability)
