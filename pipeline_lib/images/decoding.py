"""Decodes any image file into 8-bit RGB as a viewer would show it."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from pipeline_lib.base.errors import UserError

# What Pillow's format plugins raise on damaged files; UnidentifiedImageError and truncation are OSErrors.
_BROKEN = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    NotImplementedError,
    MemoryError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)
_ORIENTATION = 0x0112
_TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = (5, 6, 7, 8)
"""EXIF orientations that exchange width and height."""

_LARGEST_16_BIT = 65535


class UndecodableImageError(UserError):
    """An image cannot be decoded; the message names it and says why."""


@dataclass(frozen=True)
class DecodedImage:
    """A decoded image.

    Attributes:
        pixels: The image in RGB.
        mode: Pillow's mode of the file before conversion, for example ``L``, ``P``, ``CMYK``, ``I;16``.
    """

    pixels: Image.Image
    mode: str


def decode(image: bytes | Path, name: str | None = None) -> Image.Image:
    """Decode an image into 8-bit RGB.

    The EXIF orientation is applied. Transparent pixels are laid over white. Grey values of 16 bits are scaled to 8
    (65535 becomes 255); grey values in 32-bit integers or floating point, which have no fixed range, are scaled
    as ``_grey_8_bit`` says. Of animations the first frame is taken. Colour profiles are not applied.

    Args:
        image: Encoded bytes, or the path of a file.
        name: What the message calls an image given as bytes.

    Returns:
        The image, mode RGB.

    Raises:
        UndecodableImageError: The file is absent, no image, damaged, cut short, or larger than Pillow's limit against
            decompression bombs.
    """
    return decode_with_mode(image, name).pixels


def decode_with_mode(image: bytes | Path, name: str | None = None) -> DecodedImage:
    """Decode an image as ``decode`` does, and tell the mode that it had."""
    called = name or (str(image) if isinstance(image, Path) else "image")
    try:
        with Image.open(io.BytesIO(image) if isinstance(image, bytes) else image) as opened:
            mode = opened.mode
            opened.load()
            return DecodedImage(_upright(_to_rgb(opened), _orientation(opened)), mode)
    except FileNotFoundError as error:
        raise UndecodableImageError(f"{called}: no such file") from error
    except _BROKEN as error:
        reason = "no known image format" if isinstance(error, UnidentifiedImageError) else _one_line(error)
        raise UndecodableImageError(f"{called}: cannot be decoded ({reason})") from error


def upright_size(image: bytes | Path, name: str) -> tuple[int, int]:
    """Width and height that :func:`decode` would give, from the head of the file alone.

    Args:
        image: Encoded bytes, or the path of a file.
        name: What the message calls the image.

    Raises:
        UndecodableImageError: The file is absent or no image.
    """
    try:
        with Image.open(io.BytesIO(image) if isinstance(image, bytes) else image) as opened:
            width, height = opened.size
            return (height, width) if _orientation(opened) in _SIDEWAYS else (width, height)
    except FileNotFoundError as error:
        raise UndecodableImageError(f"{name}: no such file") from error
    except _BROKEN as error:
        raise UndecodableImageError(f"{name}: cannot be decoded ({_one_line(error)})") from error


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except _BROKEN:
        # A damaged EXIF block tells no orientation; the pixels are good.
        return 1


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    transposition = _TRANSPOSITIONS.get(orientation)
    return image if transposition is None else image.transpose(transposition)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_grey_8_bit(np.asarray(image))).convert("RGB")
    if image.has_transparency_data:
        colours = image.convert("RGBA")
        white = Image.new("RGBA", colours.size, "white")
        return Image.alpha_composite(white, colours).convert("RGB")
    return image.convert("RGB")


def _grey_8_bit(grey: np.ndarray) -> np.ndarray:
    """Scale grey values to 8 bits.

    16-bit values, and 32-bit integers within 0 to 65535 (as some formats give 16-bit files), are divided by 257.
    Floating-point values within 0 to 1 are multiplied by 255. Other values are stretched from their own minimum and
    maximum to 0 and 255; not finite ones count as the minimum.

    Args:
        grey: (height, width), any integer or floating-point type.

    Returns:
        uint8 (height, width).
    """
    if grey.dtype == np.uint16:
        return ((grey.astype(np.uint32) + 128) // 257).astype(np.uint8)
    values = grey.astype(np.float64)
    finite = np.isfinite(values)
    low, high = (float(values[finite].min()), float(values[finite].max())) if finite.any() else (0.0, 0.0)
    largest = float(_LARGEST_16_BIT) if np.issubdtype(grey.dtype, np.integer) else 1.0
    if low >= 0 and high <= largest:
        low, high = 0.0, largest
    if high == low:
        return np.zeros(grey.shape, dtype=np.uint8)
    return np.rint((np.where(finite, values, low) - low) * 255 / (high - low)).astype(np.uint8)
