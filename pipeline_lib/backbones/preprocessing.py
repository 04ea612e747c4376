"""From a decoded image to the tensor that a backbone takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pipeline_lib.base import torchvision_import  # noqa: F401
from pipeline_lib.base.errors import UserError

from timm.data.transforms_factory import create_transform  # isort: skip


@dataclass(frozen=True)
class Preprocessing:
    """What is done to every image; the same at extraction and when a new image is labelled.

    Attributes:
        height: Height of the result in pixels.
        width: Width of the result in pixels.
        fit: ``crop`` resizes the shorter side and crops the centre; ``squash`` resizes both sides; ``border`` resizes
            the longer side and pads; ``native`` takes images of exactly this size.
        crop_fraction: Side of the crop divided by the resized side.
        interpolation: ``bicubic`` or ``bilinear``.
        mean: Mean of each channel for values in [0, 1].
        std: Standard deviation of each channel.
    """

    height: int
    width: int
    fit: Literal["crop", "squash", "border", "native"] = "crop"
    crop_fraction: float = 1.0
    interpolation: str = "bicubic"
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def as_fields(self) -> dict[str, Any]:
        """JSON values; ``from_fields`` reads them back."""
        return asdict(self) | {"mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> Self:
        """Inverse of ``as_fields``."""
        return cls(**(dict(fields) | {"mean": tuple(fields["mean"]), "std": tuple(fields["std"])}))

    def transform(self, size_parameter: str) -> ImageTransform:
        """The picklable function from an RGB image to a float32 tensor (3, height, width).

        Args:
            size_parameter: Name of the parameter to set when images are not of the native size.
        """
        return ImageTransform(self, size_parameter)


class ImageTransform:
    """Applies a ``Preprocessing``.

    Args:
        preprocessing: What to do.
        size_parameter: Name of the parameter to set when images are not of the native size.
    """

    def __init__(self, preprocessing: Preprocessing, size_parameter: str) -> None:
        self.preprocessing = preprocessing
        self._size_parameter = size_parameter
        self._resize = None if preprocessing.fit == "native" else _evaluation_transform(preprocessing)

    def __call__(self, image: Image.Image) -> Tensor:
        """Transform one image.

        Args:
            image: Any mode that converts to RGB.

        Returns:
            Float32 (3, height, width).

        Raises:
            UserError: The image is not of the native size that is asked for.
        """
        image = image.convert("RGB")
        if self._resize is not None:
            result: Tensor = self._resize(image)
            return result
        wanted = self.preprocessing
        if image.size != (wanted.width, wanted.height):
            raise UserError(
                f"{self._size_parameter} is not set and images differ in size (height x width): "
                f"{wanted.height} x {wanted.width} and {image.height} x {image.width}; set it to the size to resize to"
            )
        values = torch.from_numpy(np.asarray(image, dtype=np.float32)).permute(2, 0, 1) / 255  # (3, H, W)
        return (values - torch.tensor(wanted.mean).view(3, 1, 1)) / torch.tensor(wanted.std).view(3, 1, 1)


def _evaluation_transform(preprocessing: Preprocessing) -> Any:
    """The evaluation transform of timm: resize, crop the centre, standardise the channels."""
    return create_transform(
        (3, preprocessing.height, preprocessing.width),
        is_training=False,
        interpolation=preprocessing.interpolation,
        mean=preprocessing.mean,
        std=preprocessing.std,
        crop_pct=preprocessing.crop_fraction,
        crop_mode="center" if preprocessing.fit == "crop" else preprocessing.fit,
    )
