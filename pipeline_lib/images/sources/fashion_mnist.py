"""Fashion-MNIST from torchvision's folder, from Debian's package ``dataset-fashion-mnist``, or downloaded."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline_lib.base.errors import MissingFileError, UserError
from pipeline_lib.images.sources.array_sets import ArraySplit, source_of_arrays
from pipeline_lib.images.sources.download import downloading
from pipeline_lib.images.sources.records import Source
from pipeline_lib.images.sources.torchvision_datasets import datasets

DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
_PREFIXES = {"train": "train", "val": "t10k"}
_UNSIGNED_BYTE = 8


def open_fashion_mnist(root: Path, installed: Path = DEBIAN_FOLDER) -> Source:
    """Open Fashion-MNIST (60,000 train, 10,000 test images as ``val``; 28 × 28 grey).

    The four idx files are looked for, gzipped or not, in ``root/FashionMNIST/raw``, in ``root`` and in ``installed``;
    torchvision downloads them into ``root`` where none of these has all four.

    Args:
        root: Folder of the data set.
        installed: Where Debian's package puts the files.

    Returns:
        The source.

    Raises:
        MissingFileError: The files are absent and could not be downloaded.
        UserError: A file is not in the idx format of bytes.
    """
    raw = root / "FashionMNIST" / "raw"
    folder = next((place for place in (raw, root, installed) if _has_all(place)), raw)
    if not _has_all(folder):
        with downloading("fashion_mnist", root, "FashionMNIST/raw/{train,t10k}-{images-idx3,labels-idx1}-ubyte.gz"):
            datasets.FashionMNIST(root, train=True, download=True)
    splits = {}
    for split, prefix in _PREFIXES.items():
        images = read_idx(_find(folder, f"{prefix}-images-idx3-ubyte"))
        labels = read_idx(_find(folder, f"{prefix}-labels-idx1-ubyte"))
        if images.ndim != 3 or labels.shape != images.shape[:1]:
            raise UserError(f"{folder}: expected as many {prefix} labels as images, got {labels.shape}, {images.shape}")
        splits[split] = ArraySplit(images, labels)
    return source_of_arrays("fashion_mnist", splits, datasets.FashionMNIST.classes)


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Read an idx file of unsigned bytes, gzipped where its name ends in ``.gz``.

    Args:
        path: The file.

    Returns:
        uint8 array of the shape that the file states.

    Raises:
        UserError: It is not such a file, or cut short.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: expected a gzipped idx file, but it does not unpack ({error})") from error
    axes = content[3] if len(content) > 3 and content[:3] == bytes([0, 0, _UNSIGNED_BYTE]) else 0
    shape = tuple(int.from_bytes(content[4 + 4 * axis : 8 + 4 * axis], "big") for axis in range(axes))
    if not axes or len(content) != 4 + 4 * axes + math.prod(shape):
        raise UserError(f"{path}: expected an idx file of unsigned bytes, found {len(content)} bytes of something else")
    return np.frombuffer(content, dtype=np.uint8, offset=4 + 4 * axes).reshape(shape)


def _candidates(folder: Path, name: str) -> tuple[Path, Path]:
    return folder / name, folder / f"{name}.gz"


def _has_all(folder: Path) -> bool:
    names = [f"{prefix}-{part}" for prefix in _PREFIXES.values() for part in ("images-idx3-ubyte", "labels-idx1-ubyte")]
    return all(any(path.is_file() for path in _candidates(folder, name)) for name in names)


def _find(folder: Path, name: str) -> Path:
    for path in _candidates(folder, name):
        if path.is_file():
            return path
    raise MissingFileError(f"{folder / name}: not found; put Fashion-MNIST's file there")
