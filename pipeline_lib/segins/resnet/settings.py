"""Settings of a ResNet that is not trained here."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator

from pipeline_lib.base.settings import Settings


class GivenCheckpoint(Settings):
    """A ResNet that is not trained here: random weights, or a file.

    Attributes:
        source: ``random``, weights by the chain's seed in the architecture of ``pretrain``, or ``file``.
        path: The file, in any of the known namings.
        architecture: ResNet of the file; ``auto``: what its weights tell.
    """

    source: Literal["random", "file"]
    path: str | None = None
    architecture: Literal["auto", "resnet18", "resnet34", "resnet50"] = "auto"

    @model_validator(mode="after")
    def _path_is_given(self) -> Self:
        if self.source == "file" and not self.path:
            raise ValueError("source = 'file' needs path")
        return self
