"""Settings of the linear grid and of self-training."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pipeline_lib.base.settings import Count, Fraction, Settings

ScalingName = Literal["none", "global", "standardise"]
DINOV2_RATES = (1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1)
"""Learning rates for a batch of 256 of DINOv2's linear evaluation (Oquab et al. 2023)."""


class GridSettings(Settings):
    """How the grid of linear classifiers is trained; the defaults are DINOv2's, on one GPU.

    Attributes:
        rates: Learning rates for 256 samples, multiplied by batch size / 256.
        batch_size: Samples of an iteration.
        iterations: Number of iterations (12,500 in the thesis). A short training follows wrong pseudo-labels less.
        holdout_fraction: Share of the labelled images that the choice is made on; not trained on.
        scaling: How features are scaled: ``none`` (DINOv2), ``global``, or ``standardise``, each column by itself.
    """

    rates: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(strict=False, min_length=1)] = DINOV2_RATES
    batch_size: Count = 128
    iterations: Count = 12_500
    holdout_fraction: Fraction = 0.1
    scaling: ScalingName = "none"

    def fitted(self, images: int) -> GridSettings:
        """These settings with a batch of at most all images."""
        return self.model_copy(update={"batch_size": min(self.batch_size, images)})


class SelfTrainSettings(GridSettings):
    """The linear classifier on the consensus labels (thesis 6.2).

    Attributes:
        iterations: Number of iterations (12,500 in the thesis); a short training follows wrong pseudo-labels less.
        scaling: How features are scaled: ``none`` (thesis), ``global``, or ``standardise``, each column by itself.
        weighting: Weight of an image in the loss: ``none`` (thesis), or the ``agreement`` of the heads on its
            pseudo-label.
    """

    iterations: Count
    scaling: ScalingName
    weighting: Literal["none", "agreement"]
