"""The grid of learning rates and feature inputs of DINOv2's linear evaluation (Oquab et al. 2023), and its schedule."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from pipeline_lib.base.errors import UserError
from pipeline_lib.ucls.probe.features import FeatureInput
from pipeline_lib.ucls.probe.scaling import ScalingName

DINOV2_RATES = (1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1)
MOMENTUM = 0.9
REFERENCE_BATCH_SIZE = 256


@dataclass(frozen=True)
class GridSettings:
    """How the grid is trained; the defaults are DINOv2's, on one GPU.

    Attributes:
        rates: Learning rates for 256 samples, multiplied by batch size / 256.
        batch_size: Samples of an iteration.
        iterations: Number of iterations.
        holdout_fraction: Share of the labelled images that the choice is made on, in (0, 1); not trained on.
        seed: Seed of the held-out images, the order and the initial weights.
        scaling: How features are scaled; DINOv2 does not.

    Raises:
        UserError: A value is out of range.
    """

    rates: tuple[float, ...] = DINOV2_RATES
    batch_size: int = 128
    iterations: int = 12_500
    holdout_fraction: float = 0.1
    seed: int = 0
    scaling: ScalingName = "none"

    def __post_init__(self) -> None:
        for name, value in (("batch_size", self.batch_size), ("iterations", self.iterations)):
            if value < 1:
                raise UserError(f"{name} = {value}: allowed: 1 or more")
        if not 0 < self.holdout_fraction < 1:
            raise UserError(f"holdout_fraction = {self.holdout_fraction}: allowed: above 0 and below 1")
        if self.scaling not in get_args(ScalingName):
            raise UserError(f"scaling = {self.scaling!r}: allowed: {', '.join(get_args(ScalingName))}")
        for rate in self.rates:
            if not 0 < rate < math.inf:
                raise UserError(f"rates: {rate}: allowed: positive numbers")


@dataclass(frozen=True)
class ClassifierSetting:
    """One classifier of the grid.

    Attributes:
        name: Unique name: the input's blocks and the unscaled rate with all its digits.
        input: The feature columns it takes.
        rate: Learning rate as given.
        scaled_rate: Learning rate for the batch size.
    """

    name: str
    input: FeatureInput
    rate: float
    scaled_rate: float


def scaled_rate(rate: float, batch_size: int) -> float:
    """Linear scaling: the rate given for 256 samples, for ``batch_size`` of them."""
    return rate * batch_size / REFERENCE_BATCH_SIZE


def cosine_factor(iteration: int, iterations: int) -> float:
    """Factor of the learning rate in iteration ``iteration`` (from 0): cosine from 1 to 0 (at ``iterations``)."""
    return 0.5 * (1.0 + math.cos(math.pi * iteration / iterations))


def classifier_settings(
    inputs: Sequence[FeatureInput], rates: Sequence[float], batch_size: int
) -> tuple[ClassifierSetting, ...]:
    """All combinations, inputs in the outer loop.

    Args:
        inputs: Feature inputs.
        rates: Learning rates for 256 samples.
        batch_size: Samples of an iteration.

    Returns:
        The settings, with distinct names.

    Raises:
        UserError: A rate or an input is given twice or not at all.
    """
    for name, values in (("rates", list(rates)), ("inputs", [one.name for one in inputs])):
        if not values or len(set(values)) < len(values):
            raise UserError(f"{name} = {values}: allowed: at least one, none twice")
    return tuple(
        ClassifierSetting(f"{one.name}, rate {float(rate)!r}", one, float(rate), scaled_rate(rate, batch_size))
        for one in inputs
        for rate in rates
    )
