"""Sources whose origin holds all images of a split as one array."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline_lib.images.sources.records import Record, Source


@dataclass(frozen=True)
class ArraySplit:
    """One split as arrays.

    Attributes:
        pixels: uint8 (n, height, width) grey or (n, height, width, 3) RGB; may be a view.
        labels: Label of each image, (n,).
    """

    pixels: NDArray[np.uint8]
    labels: Sequence[int] | NDArray[Any]


def source_of_arrays(name: str, splits: dict[str, ArraySplit], class_names: Sequence[str]) -> Source:
    """Source over arrays; images are PNG-encoded as they are asked for.

    Args:
        name: Name of the data set, for messages.
        splits: Arrays by split.
        class_names: Names by label.

    Returns:
        The source.
    """
    names = tuple(class_names)

    def records() -> Iterator[Record]:
        for split, arrays in splits.items():
            for row, (image, label) in enumerate(zip(arrays.pixels, arrays.labels, strict=True)):
                origin = f"{name} {split} image {row}"
                yield Record(split, encode_png(image), None, int(label), names[int(label)], origin)

    return Source(records, {split: len(arrays.pixels) for split, arrays in splits.items()}, names)


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
