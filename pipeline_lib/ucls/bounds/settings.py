"""Settings of TURTLE."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pipeline_lib.base.settings import Settings


class TurtleSettings(Settings):
    """How TURTLE is trained; inner steps, rates and entropy weight are the paper's.

    Attributes:
        steps: Updates of the task encoder (6,000 in the paper); 0 where TURTLE is not to run.
        inner_steps: Updates of the linear classifier for each of them.
        batch_size: Images of an update (10,000 in the paper), at most all.
        learning_rate: Adam's rate for the task encoder.
        inner_learning_rate: Adam's rate for the linear classifier.
        entropy_weight: Weight of the entropy of the mean label.
        warm_start: The linear classifier goes on from the update before (true) or starts anew (false).
        scaling: ``none`` takes features as they come; ``standardise`` brings every column to mean 0 and variance 1.

    With ``auto`` both are tried and the labelling that generalises best is kept, as the paper chooses without labels.
    """

    steps: Annotated[int, Field(ge=0)]
    inner_steps: Annotated[int, Field(ge=1)]
    batch_size: Annotated[int, Field(ge=2)]
    learning_rate: Annotated[float, Field(gt=0)]
    inner_learning_rate: Annotated[float, Field(gt=0)]
    entropy_weight: Annotated[float, Field(ge=0)]
    warm_start: Literal["auto"] | bool
    scaling: Literal["auto", "none", "standardise"]
