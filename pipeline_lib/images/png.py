"""Lossless encoding of images that a data set holds as arrays."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def encode_png(pixels: NDArray[Any]) -> bytes:
    """PNG of an array, the same bytes for the same pixels.

    Args:
        pixels: uint8 (height, width) grey or (height, width, 3) RGB.

    Returns:
        The encoded file.
    """
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(stream, format="PNG")
    return stream.getvalue()
