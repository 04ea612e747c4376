"""Training images as tensors, decoded once where they fit into memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from pipeline_lib.artifacts.dataset import Dataset
from pipeline_lib.base.progress import progress
from pipeline_lib.segins.pretraining.views import stacked_mask

Decode = Callable[[bytes | Path, str], Image.Image]
DecodeImage = Callable[[int], NDArray[np.uint8]]
ReadMask = Callable[[int], NDArray[np.bool_]]


class SplitImages:
    """Decodes the images of a split; a copy pickled to a worker process does so there.

    Args:
        dataset: The data set.
        split: One of its splits.
        decode: From encoded bytes or a path, and the image's name, to an RGB image.
    """

    def __init__(self, dataset: Dataset, split: str, decode: Decode) -> None:
        self._dataset = dataset
        self._split = split
        self._decode = decode

    def __call__(self, row: int) -> NDArray[np.uint8]:
        """Image of a row, uint8 (H, W, 3)."""
        image = self._dataset.image(self._split, row)
        return np.asarray(self._decode(image, self._dataset.name(self._split, row)))


class ImageStore:
    """Images by row with their pseudo-masks; those that fit are decoded once, the others at every use.

    Worker processes that are forked after :meth:`fill` share what it decoded.

    Args:
        count: Number of images.
        decode: Image of a row, uint8 (H, W, 3).
        mask: Pseudo-mask of a row, bool (h, w); None: without masks.
        memory: Bytes that decoded images may take.
    """

    def __init__(self, count: int, decode: DecodeImage, mask: ReadMask | None, memory: int) -> None:
        self.count = count
        self._decode = decode
        self._mask = mask
        self._left = memory
        self._kept: dict[int, Tensor] = {}

    def __call__(self, row: int) -> Tensor:
        """uint8 (3, H, W), or (4, H, W) with the mask, 0 or 255."""
        kept = self._kept.get(row)
        if kept is not None:
            return kept
        return stacked_mask(self._decode(row), None if self._mask is None else self._mask(row))

    def fill(self) -> int:
        """Decode images until the memory is used up.

        Returns:
            Number of images that are kept.
        """
        for row in progress(range(self.count), "decode", unit="image"):
            image = self(row)
            self._left -= image.numel()
            if self._left < 0:
                break
            self._kept[row] = image
        return len(self._kept)
