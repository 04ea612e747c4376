"""Transfers with the settings of a trial beside a pretraining of the thesis' length."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pipeline_lib.params.params import Params

THESIS_SIZE = 224
"""Side of the thesis' global crops, pixels; with these and ``LONG`` epochs a pretraining is no trial."""

LONG = 100
"""The fewest epochs that SimSiam and MoCo-V2 report; the thesis has 500."""

_SHORT = 0.25
"""Share of the thesis' steps below which a transfer is a trial; COCO's are more than VOC's."""


@dataclass(frozen=True)
class Expected:
    """What a stage has beside a pretraining of the thesis' length.

    Attributes:
        key: Setting of the stage's section.
        thesis: Its value in the thesis, the lowest where there are several.
        least: Lowest value that is no trial's.
        presets: Presets that set it.
    """

    key: str
    thesis: int
    least: float
    presets: str


def _steps(key: str, thesis: int, presets: str) -> Expected:
    return Expected(key, thesis, _SHORT * thesis, presets)


EXPECTED = {
    "masks": Expected("image_size", THESIS_SIZE, THESIS_SIZE, "thesis-pretraining"),
    "linear_eval": Expected("image_size", THESIS_SIZE, THESIS_SIZE, "thesis-linear-eval"),
    "detection": _steps("iterations", 24_000, "thesis-detection-voc or thesis-detection-coco"),
    "segmentation": _steps("iterations", 40_000, "thesis-segmentation"),
}
"""By stage, which has a section of its name."""


def unequal_lengths(params: Params, stages: Iterable[str] = tuple(EXPECTED)) -> list[str]:
    """What to warn of where a long pretraining stands beside a trial's transfers.

    Args:
        params: All parameters.
        stages: Stages that are looked at.

    Returns:
        A line a stage, with the preset that mends it; none for a trial's pretraining.
    """
    pretrain = params.pretrain
    if pretrain.epochs < LONG or pretrain.global_size < THESIS_SIZE:
        return []
    lines = []
    for stage, expected in EXPECTED.items():
        if stage not in stages or (stage == "masks" and params.masks.source != "contracam"):
            continue
        value = getattr(getattr(params, stage), expected.key)
        if value < expected.least:
            lines.append(
                f"{stage}.{expected.key} = {value} beside a pretraining of {pretrain.epochs} epochs at "
                f"{pretrain.global_size} pixels, where the thesis has {expected.thesis}: "
                f"add the preset {expected.presets}"
            )
    return lines
