"""Settings of the pseudo-masks."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pipeline_lib.settings import Settings

Positive = Annotated[int, Field(ge=1)]


class MaskSettings(Settings):
    """How pseudo-masks are made.

    Attributes:
        source: ``contracam``, ``tokencut``, or a control: ``centre`` (an ellipse) or ``whole`` (the whole image).
        threshold: Value of the map from which a pixel is foreground (0.5 in the thesis).
        image_size: Side that images are resized to for the network, pixels.
        iterations: ContraCAM: times that the found region is masked and the map computed again; 1 is one pass.
        expand: ContraCAM: 2 doubles the resolution of the last stage, 1 leaves it.
        positive: ContraCAM: ``image`` (the paper) or ``batch`` (the reference implementation).
        backbone: TokenCut: a key of ``backbones``, a vision transformer.
        similarity: TokenCut: cosine similarity above which two patches are joined (0.2).
        batch_size: Images a batch; ContraCAM's maps depend on it.
        longest_side: Masks are kept at the image's size, but no larger than this.
        device: Where to compute.
        seed: Seed of the order in which batches are put together.
    """

    source: Literal["contracam", "tokencut", "centre", "whole"]
    threshold: Annotated[float, Field(gt=0, lt=1)]
    image_size: Annotated[int, Field(ge=32)]
    iterations: Positive
    expand: Literal[1, 2]
    positive: Literal["image", "batch"]
    backbone: str
    similarity: Annotated[float, Field(gt=-1, lt=1)]
    batch_size: Annotated[int, Field(ge=2)]
    longest_side: Positive
    device: Literal["auto", "cpu", "cuda", "mps"]
    seed: Annotated[int, Field(ge=0)]
