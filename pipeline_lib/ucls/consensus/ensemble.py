"""All consensus methods on one ensemble of heads, and the choice among them by average NMI."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline_lib.artifacts.consensus import ConsensusSplit, MethodScores
from pipeline_lib.base.contingency import Integers, average_nmi
from pipeline_lib.base.errors import UserError
from pipeline_lib.ucls.consensus.choice import choose_by_anmi
from pipeline_lib.ucls.consensus.ensemble_methods import Ensemble
from pipeline_lib.ucls.consensus.mcla import Labelling
from pipeline_lib.ucls.consensus.methods import AUTO, DEFAULT_METHODS, METHODS
from pipeline_lib.ucls.consensus.metis import metis_version
from pipeline_lib.ucls.consensus.settings import ConsensusSettings, MethodSkippedError
from pipeline_lib.ucls.consensus.vote import head_agreement


@dataclass(frozen=True)
class MethodResult:
    """What became of one method.

    Attributes:
        seconds: Wall time; not for artifacts, equal runs differ in it.
        labels: Cluster of each image, int32 (n,), 0 to k − 1; None where the method did not run.
        anmi: Average NMI with the heads (geometric mean), in [0, 1]; None where it did not run.
        clusters_used: Clusters with at least one image; 0 where it did not run.
        confidence: Winner's share for each image, float32 (n,) in (0, 1]; None for methods that have none.
        note: How the labels came about, where that needs saying.
        skipped: Why there are no labels; None where there are.
    """

    seconds: float
    labels: NDArray[np.int32] | None = None
    anmi: float | None = None
    clusters_used: int = 0
    confidence: NDArray[np.float32] | None = None
    note: str | None = None
    skipped: str | None = None


@dataclass(frozen=True)
class ConsensusResult:
    """Consensus of an ensemble.

    Attributes:
        methods: Every method that was asked for, in that order.
        chosen: Name of the chosen method.
        agreement: Share of heads that agree with the chosen label of an image, float32 (n,) in [0, 1].
        classes: Number of classes k asked for.
        seed: Seed.
        tool: Name and version of the partitioner.
        settings: Settings of the methods.
    """

    methods: dict[str, MethodResult]
    chosen: str
    agreement: NDArray[np.float32]
    classes: int
    seed: int
    tool: str
    settings: ConsensusSettings

    @property
    def labels(self) -> NDArray[np.int32]:
        """Labels of the chosen method, int32 (n,)."""
        labels = self.methods[self.chosen].labels
        if labels is None:
            raise ValueError(f"the chosen method {self.chosen} has no labels")
        return labels

    @property
    def confidence(self) -> NDArray[np.float32] | None:
        """Confidence of the chosen method, float32 (n,), or None."""
        return self.methods[self.chosen].confidence

    @property
    def recorded_settings(self) -> dict[str, Any]:
        """What the artifact keeps of how the methods worked; JSON values."""
        return {
            "tool": self.tool,
            "seed": self.seed,
            **self.settings.model_dump(exclude={"methods", "choose", "choose_on"}),
        }

    def for_artifact(self, ids: NDArray[np.int64]) -> ConsensusSplit:
        """The part that the artifact keeps of a split: everything but times.

        Args:
            ids: Image ids, int64 (n,).
        """
        return ConsensusSplit(
            ids=ids,
            labels={name: method.labels for name, method in self.methods.items() if method.labels is not None},
            chosen=self.chosen,
            scores={
                name: MethodScores(method.anmi, method.clusters_used, method.note, method.skipped)
                for name, method in self.methods.items()
            },
            agreement=self.agreement,
            confidence=self.confidence,
        )


def _result(ensemble: Ensemble, method: str) -> MethodResult:
    """Run a method; what keeps it from giving labels becomes the reason in its result."""
    start = time.perf_counter()
    try:
        found: Labelling = METHODS[method](ensemble)
    except MethodSkippedError as reason:
        return MethodResult(time.perf_counter() - start, skipped=str(reason))
    except MemoryError:
        return MethodResult(time.perf_counter() - start, skipped="out of memory")
    except RuntimeError as error:
        return MethodResult(time.perf_counter() - start, skipped=f"failed: {error}".splitlines()[0])
    seconds = time.perf_counter() - start
    return MethodResult(
        seconds,
        found.labels,
        average_nmi(found.labels, ensemble.assignments),
        int(np.count_nonzero(np.bincount(found.labels))),
        found.confidence,
        found.note,
    )


def _check(heads: int, classes: int, methods: Sequence[str], choose: str, settings: ConsensusSettings) -> None:
    if classes < 1:
        raise UserError(f"classes = {classes}: allowed: 1 or more")
    unknown = [name for name in methods if name not in METHODS]
    if unknown or not methods or len(set(methods)) < len(methods):
        raise UserError(f"methods = {list(methods)}: allowed: each of {', '.join(METHODS)} once, at least one")
    if choose != AUTO and choose not in methods:
        raise UserError(f"choose = {choose}: allowed: {AUTO}, or one of methods ({', '.join(methods)})")
    if settings.vote_reference != "mcla" and settings.vote_reference >= heads:
        raise UserError(f"vote_reference = {settings.vote_reference}: allowed: mcla, or a head from 0 to {heads - 1}")


def build_consensus(
    assignments: Integers,
    classes: int,
    *,
    methods: Sequence[str] = DEFAULT_METHODS,
    choose: str = AUTO,
    mean_probability: NDArray[np.floating[Any]] | None = None,
    settings: ConsensusSettings | None = None,
    seed: int = 0,
) -> ConsensusResult:
    """Combine the assignments of all heads into one clustering (thesis 5.1.2; Strehl & Ghosh 2002).

    The result does not depend on how a head numbers its clusters. With ``choose`` ``auto`` the method with the highest
    average NMI with the heads is taken; of equal ones the first of ``methods``.

    Args:
        assignments: Cluster ids of all heads, integers (H, n), may be memory-mapped; ids may be unused.
        classes: Number of classes k.
        methods: Names among ``METHODS``.
        choose: ``auto`` or one of ``methods``.
        mean_probability: Mean class probability of heads that number their clusters alike, (n, k), for ``soft_vote``.
        settings: How the methods work; None for the defaults.
        seed: Seed of every random choice.

    Returns:
        Labels of every method or why there are none, the chosen one, and the heads' agreement with it.

    Raises:
        UserError: A parameter is not allowed, ``assignments`` is no table of cluster ids, or no labels came of the
            chosen method or of any.
    """
    used = settings or ConsensusSettings()
    ensemble = Ensemble(assignments, classes, used, seed, mean_probability)
    # Refuses what is no table of cluster ids, and is not counted to the first method's time.
    edges = ensemble.edges
    _check(len(assignments), classes, methods, choose, used)
    results = {method: _result(ensemble, method) for method in methods}
    scores = {method: result.anmi for method, result in results.items() if result.anmi is not None}
    if not scores or (choose != AUTO and choose not in scores):
        reasons = "; ".join(f"{name}: {result.skipped}" for name, result in results.items() if result.skipped)
        raise UserError(f"choose = {choose}: no consensus ({reasons})")
    chosen = choose_by_anmi(scores) if choose == AUTO else choose
    labels = results[chosen].labels
    agreement = head_agreement(assignments, edges, np.asarray(labels), classes)
    return ConsensusResult(results, chosen, agreement, classes, seed, metis_version(), used)
