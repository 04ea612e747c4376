"""The linear grid's settings from its section of params.yaml; self-training and the upper bound use the same."""

from __future__ import annotations

from pipeline_lib.params.sections import SelfTrain
from pipeline_lib.ucls.probe.grid import GridSettings


def grid_settings(section: SelfTrain, images: int) -> GridSettings:
    """Settings of the grid; a batch has at most as many samples as there are images."""
    return GridSettings(
        rates=section.rates,
        batch_size=min(section.batch_size, images),
        iterations=section.iterations,
        holdout_fraction=section.holdout_fraction,
        seed=section.seed,
        scaling=section.scaling,
    )
