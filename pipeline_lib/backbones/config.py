"""Settings of one backbone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from pipeline_lib.base.errors import UserError

WeightsSource = Literal["hub", "file", "package", "none"]


@dataclass(frozen=True)
class WeightsConfig:
    """Where the weights come from.

    Attributes:
        source: ``hub`` (timm's repository on the model hub), ``file`` (``path``), ``package`` (an installed Python
            package that carries the file), or ``none`` (random, always the same ones).
        path: State dict, ``.pth``, ``.pt``, ``.bin`` or ``.safetensors``; for ``file``.
        package: Import name of the package; for ``package``.
    """

    source: WeightsSource = "hub"
    path: str | None = None
    package: str | None = None


@dataclass(frozen=True)
class BackboneConfig:
    """Which model, with which weights, at which image size, and which features of it.

    Attributes:
        model: timm model, with or without the tag of its weights, or ``pixels_grey`` or ``pixels_rgb``.
        weights: Where the weights come from; without meaning for pixels.
        image_size: Height and width in pixels; ``None`` takes the model's own (for pixels: that of the images).
        crop_fraction: Share of the resized image's side that the centre crop keeps, in (0, 1]; ``None``: timm's.
        mean: Mean of each channel for images in [0, 1]; ``None``: timm's.
        std: Standard deviation of each channel; ``None``: timm's.
        blocks: Feature blocks to store; ``None`` stores all that ``last_blocks`` gives.
        last_blocks: For vision transformers: class tokens of this many last blocks are on offer.
        name: What error messages call this backbone.
    """

    model: str
    weights: WeightsConfig = field(default_factory=WeightsConfig)
    image_size: int | None = None
    crop_fraction: float | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    blocks: tuple[str, ...] | None = None
    last_blocks: int = 4
    name: str = "<name>"

    def __post_init__(self) -> None:
        weights = self.weights
        if weights.source not in get_args(WeightsSource):
            allowed = ", ".join(get_args(WeightsSource))
            raise UserError(f"{self.parameter('weights.source')} = {weights.source!r}: allowed are {allowed}")
        for source, value in (("file", weights.path), ("package", weights.package)):
            key = "path" if source == "file" else source
            if weights.source == source and not value:
                raise UserError(f"{self.parameter(f'weights.{key}')} is not set; weights.source = {source} needs it")
        if self.image_size is not None and self.image_size < 1:
            raise UserError(f"{self.parameter('image_size')} = {self.image_size}: must be at least 1 pixel")
        if self.crop_fraction is not None and not 0 < self.crop_fraction <= 1:
            raise UserError(f"{self.parameter('crop_fraction')} = {self.crop_fraction}: must be in (0, 1]")
        if self.last_blocks < 1:
            raise UserError(f"{self.parameter('last_blocks')} = {self.last_blocks}: must be at least 1")

    def parameter(self, key: str) -> str:
        """Full name of one of these settings, for error messages."""
        return f"backbones.{self.name}.{key}"
