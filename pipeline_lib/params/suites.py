"""What plain ``dvc repro`` makes of each chain."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from pipeline_lib.base.registry import OneOf
from pipeline_lib.base.settings import Names, Seed, Settings
from pipeline_lib.segins.pretraining.methods import METHODS


class Suite(Settings):
    """What plain ``dvc repro`` makes: every data set with every backbone.

    Attributes:
        data: Data sets, keys of ``datasets``.
        backbone: Backbones, keys of ``backbones``.
        seed: Seed of all that the stages of this chain draw.
    """

    data: Names
    backbone: Names
    seed: Seed


class SegInsSuite(Settings):
    """What plain ``dvc repro`` makes of the SegIns chain.

    Attributes:
        sets: All data sets named below.
        data: Data sets that are pretrained on and linearly evaluated.
        target: Data sets with boxes and masks, for detection and segmentation.
        method: Pretraining methods.
        given: Starts that are not trained here, keys of ``checkpoints``.
        start: Starts of the transfers: those given, and METHOD-baseline and METHOD-segins.
        seed: Seed of all that the stages of this chain draw, but for the scenes.
    """

    sets: Names
    data: Names
    target: Names
    method: Annotated[tuple[Annotated[str, OneOf(METHODS)], ...], Field(strict=False, min_length=1)]
    given: Names
    start: Names
    seed: Seed

    @model_validator(mode="after")
    def _names_fit(self) -> Self:
        for key, names, known in (
            ("data", self.data, self.sets),
            ("target", self.target, self.sets),
            ("start", self.start, (*self.given, *self.pretrained())),
        ):
            for name in names:
                if name not in known:
                    raise ValueError(f"{key} = {list(names)}: {name!r} is not one of {', '.join(known)}")
        return self

    def pretrained(self) -> tuple[str, ...]:
        """Names of the checkpoints that are trained here."""
        return tuple(f"{method}-{kind}" for method in self.method for kind in ("baseline", "segins"))
