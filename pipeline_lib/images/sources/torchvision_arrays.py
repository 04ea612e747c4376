"""CIFAR-10, CIFAR-100, CIFAR-20 (CIFAR-100's superclasses) and STL-10 as torchvision keeps them: arrays in memory."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

from pipeline_lib.base.errors import MissingFileError
from pipeline_lib.images.sources.array_sets import ArraySplit, source_of_arrays
from pipeline_lib.images.sources.download import downloading
from pipeline_lib.images.sources.records import Source
from pipeline_lib.images.sources.torchvision_datasets import datasets


def open_cifar10(root: Path) -> Source:
    """Open CIFAR-10 (50,000 train, 10,000 test images as ``val``; 32 × 32 RGB), downloaded where absent."""
    train, test = _cifar("cifar10", datasets.CIFAR10, root)
    splits = {"train": ArraySplit(train.data, train.targets), "val": ArraySplit(test.data, test.targets)}
    return source_of_arrays("cifar10", splits, train.classes)


def open_cifar100(root: Path) -> Source:
    """Open CIFAR-100 with its 100 classes (50,000 train, 10,000 test images as ``val``), downloaded where absent."""
    train, test = _cifar("cifar100", datasets.CIFAR100, root)
    splits = {"train": ArraySplit(train.data, train.targets), "val": ArraySplit(test.data, test.targets)}
    return source_of_arrays("cifar100", splits, train.classes)


def open_cifar20(root: Path) -> Source:
    """Open CIFAR-100 with its 20 superclasses as labels, downloaded where absent."""
    train, test = _cifar("cifar20", datasets.CIFAR100, root)
    folder = resources.files("pipeline_lib.images.sources").joinpath("resources")
    table = json.loads(folder.joinpath("cifar100_to_cifar20.json").read_text())
    coarse = [int(table["fine_to_coarse"][name]) for name in train.classes]
    splits = {
        "train": ArraySplit(train.data, [coarse[fine] for fine in train.targets]),
        "val": ArraySplit(test.data, [coarse[fine] for fine in test.targets]),
    }
    return source_of_arrays("cifar20", splits, table["coarse_names"])


def open_stl10(root: Path) -> Source:
    """Open STL-10's labelled images (5,000 train, 8,000 test as ``val``; 96 × 96 RGB), downloaded where absent."""
    with downloading("stl10", root, f"{datasets.STL10.base_folder}/ (from {datasets.STL10.filename})"):
        train = datasets.STL10(root, split="train", download=True)
        test = datasets.STL10(root, split="test", download=True)
    if not hasattr(train, "classes"):
        raise MissingFileError(
            f"{root / train.base_folder / train.class_names_file}: not found; put STL-10's file there"
        )
    splits = {
        # torchvision keeps (n, 3, height, width).
        "train": ArraySplit(train.data.transpose(0, 2, 3, 1), train.labels),
        "val": ArraySplit(test.data.transpose(0, 2, 3, 1), test.labels),
    }
    return source_of_arrays("stl10", splits, train.classes)


def _cifar(kind: str, cifar: Any, root: Path) -> tuple[Any, Any]:
    with downloading(kind, root, f"{cifar.base_folder}/ (from {cifar.filename})"):
        return cifar(root, train=True, download=True), cifar(root, train=False, download=True)
