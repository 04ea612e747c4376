"""Part ``consensus``: the consensus of generated heads, which is computed on the CPU."""

from __future__ import annotations

from benchmarks.measuring import Part
from benchmarks.planted import planted_ensemble
from pipeline_lib.ucls.consensus.ensemble import build_consensus
from pipeline_lib.ucls.consensus.settings import ConsensusSettings


def run(part: Part) -> None:
    """Every method that is on by default, one after the other."""
    images, heads, classes = (500, 4, 5) if part.tiny else (100_000, 50, 100)
    assignments, _ = planted_ensemble(images, heads, classes)
    for method in ("cspa", "hgpa", "mcla", "vote"):
        seconds = part.seconds(
            lambda method=method: build_consensus(  # type: ignore[misc]
                assignments, classes, methods=[method], settings=ConsensusSettings(), seed=0
            )
        )
        part.row(f"{method}, {images} images, {heads} heads, {classes} classes", seconds=seconds, **part.peaks())
