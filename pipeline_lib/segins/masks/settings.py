"""Settings of the pseudo-masks."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import Field

from pipeline_lib.base.registry import OneOf, Registry
from pipeline_lib.base.settings import Count, Settings

SOURCES: Registry[Callable[..., Any]] = Registry(
    "masks.source",
    {
        "contracam": "pipeline_lib.segins.masks.building:contracam_source",
        "tokencut": "pipeline_lib.segins.masks.building:tokencut_source",
        "colours": "pipeline_lib.segins.masks.building:colours_source",
        "centre": "pipeline_lib.segins.masks.building:centre_source",
        "whole": "pipeline_lib.segins.masks.building:whole_source",
        "oracle": "pipeline_lib.segins.masks.building:oracle_source",
    },
)
"""Sources of masks: from ``building.MaskInputs`` to a ``building.MaskSource``."""


class MaskSettings(Settings):
    """How pseudo-masks are made.

    Attributes:
        source: ``contracam``, ``tokencut``, ``colours`` (TokenCut's normalised cut of the patches' mean colours,
            without a network), a control: ``centre`` (an ellipse) or ``whole`` (the whole image), or ``oracle``, the
            true objects, as an upper bound.
        threshold: ContraCAM: value of the map above which a pixel is foreground (0.5 in the thesis), or ``auto``: the
            one of each image that parts its map best (Otsu).
        image_size: ContraCAM: side that images are resized to for the network, pixels. TokenCut takes the backbone's.
        iterations: ContraCAM: times that the found region is painted over and the map computed again; 1 is one pass.
        expand: ContraCAM: 2 doubles the resolution of the last stage, 1 leaves it.
        positive: ContraCAM: ``image`` (the paper) or ``batch`` (the reference implementation).
        backbone: TokenCut: a key of ``backbones``, a vision transformer.
        projection: TokenCut: ``key`` (the paper, with DINO), ``value`` or ``query`` of the last block; the keys of
            DINOv2's are nearly all alike, the values are not.
        similarity: TokenCut and colours: cosine similarity above which two patches are joined; ``auto``: the paper's
            0.2 for a transformer, 0.9 for colours.
        centre_share: Part of the image that the ellipse of ``centre`` covers, as a mask and as a control; at most π/4.
        batch_size: Images a batch; ContraCAM's maps depend on it.
        longest_side: Masks are kept at the image's size, but no larger than this.
    """

    source: Annotated[str, OneOf(SOURCES)]
    threshold: Literal["auto"] | Annotated[float, Field(gt=0, lt=1)]
    image_size: Annotated[int, Field(ge=32)]
    expand: Literal[1, 2]
    positive: Literal["image", "batch"]
    backbone: str
    projection: Literal["query", "key", "value"]
    batch_size: Annotated[int, Field(ge=2)]
    iterations: Count = 1
    similarity: Literal["auto"] | Annotated[float, Field(gt=-1, lt=1)] = "auto"
    centre_share: Annotated[float, Field(gt=0, le=math.pi / 4)] = 0.3
    longest_side: Count = 512
