"""The grid of learning rates and feature inputs of DINOv2's linear evaluation (Oquab et al. 2023), and its schedule."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline_lib.base.errors import UserError
from pipeline_lib.ucls.probe.features import FeatureInput

MOMENTUM = 0.9
REFERENCE_BATCH_SIZE = 256


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
