"""Settings of the extraction, and facts of the backbones."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipeline_lib.base.settings import Count, Names, PrecisionName, Settings

Engine = Literal["torch", "onnxruntime"]
EngineName = Literal["auto", "torch", "onnxruntime"]
WeightsSource = Literal["hub", "file", "package", "none"]
Channels = Annotated[tuple[float, float, float], Field(strict=False)]


class ExtractSettings(Settings):
    """Running the backbone over all images.

    Attributes:
        batch_size: Images a batch of one process.
        precision: ``bfloat16`` runs the network in it; ``auto`` takes it where the processor has instructions for
            it, else ``float32``.
        engine: What runs the network, with equal features up to 1e-4; ``auto`` takes ``onnxruntime`` for convolution
            networks in float32 on a CPU from 4,000 images on, else ``torch``.
        storage: How features are stored.
    """

    batch_size: Count
    precision: PrecisionName
    engine: EngineName
    storage: Literal["float16", "float32"]

    @model_validator(mode="after")
    def _engine_has_precision(self) -> Self:
        if self.engine == "onnxruntime" and self.precision == "bfloat16":
            raise ValueError("engine = 'onnxruntime': computes in float32, precision is bfloat16; use torch or auto")
        return self

    def of_engine(self) -> ExtractSettings:
        """These settings with the only precision that the engine has, where ``precision`` is ``auto``."""
        only = self.engine == "onnxruntime" and self.precision == "auto"
        return self.model_copy(update={"precision": "float32"}) if only else self


class WeightsSettings(Settings):
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

    @model_validator(mode="after")
    def _place_is_given(self) -> Self:
        for source, key, value in (("file", "path", self.path), ("package", "package", self.package)):
            if self.source == source and not value:
                raise ValueError(f"source = {source!r} needs {key}")
        return self


class BackboneSettings(Settings):
    """Which model, with which weights, at which image size, and which features of it.

    Attributes:
        model: timm model, with or without the tag of its weights, or ``pixels_grey`` or ``pixels_rgb``.
        weights: Where the weights come from; without meaning for pixels.
        image_size: Height and width in pixels; null takes the model's own (for pixels: that of the images).
        crop_fraction: Share of the resized image's side that the centre crop keeps, in (0, 1]; null: timm's.
        mean: Mean of each channel for images in [0, 1]; null: timm's.
        std: Standard deviation of each channel; null: timm's.
        blocks: Feature blocks to store; null stores all that ``last_blocks`` gives.
        last_blocks: For vision transformers: class tokens of this many last blocks are on offer.
        name: Its key under ``backbones``, for error messages; params.yaml does not set it.
    """

    model: str
    weights: WeightsSettings = WeightsSettings()
    image_size: Count | None = None
    crop_fraction: Annotated[float, Field(gt=0, le=1)] | None = None
    mean: Channels | None = None
    std: Channels | None = None
    blocks: Names | None = None
    last_blocks: Count = 4
    name: Annotated[str, Field(json_schema_extra={"internal": True})] = "<name>"

    def parameter(self, key: str) -> str:
        """Full name of one of these settings, for error messages."""
        return f"backbones.{self.name}.{key}"
