"""Settings of the choice of the number of classes."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipeline_lib.base.settings import Count, Settings


class ClassCountSettings(Settings):
    """Choice of the number of classes, for data sets with ``classes: auto``.

    Attributes:
        min: Least number of classes.
        max: Largest number; ``auto``: the square root of the number of training images.
        neighbors: Neighbours of an image in the graph that the candidates are compared on; fewer where classes have
            below 60 images.
        sample: Images to look at; more where 2 x ``neighbors`` for each of ``max`` classes are more.
        restarts: Starts of k-means for each candidate.
    """

    min: Annotated[int, Field(ge=2)]
    max: Literal["auto"] | Annotated[int, Field(ge=2)]
    neighbors: Count
    sample: Count = 5000
    restarts: Count = 4

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if isinstance(self.max, int) and self.max < self.min:
            raise ValueError(f"max = {self.max}: must be at least min = {self.min}")
        return self
