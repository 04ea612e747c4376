"""Food-101 as torchvision unpacks it: one JPEG file an image."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from pipeline_lib.images.sources.download import downloading
from pipeline_lib.images.sources.records import Record, Source
from pipeline_lib.images.sources.torchvision_datasets import datasets

_ORIGIN_SPLITS = {"train": "train", "val": "test"}


def open_food101(root: Path) -> Source:
    """Open Food-101 (75,750 train, 25,250 test images as ``val``; up to 512 px), downloaded where absent.

    Args:
        root: Folder that holds or gets ``food-101/``.

    Returns:
        A source of paths.

    Raises:
        MissingFileError: The files are absent and could not be downloaded.
    """
    images: dict[str, dict[str, list[str]]] = {}
    with downloading("food101", root, "food-101/ (from food-101.tar.gz)"):
        datasets.Food101(root, download=True)
        for split, name in _ORIGIN_SPLITS.items():
            images[split] = json.loads((root / "food-101" / "meta" / f"{name}.json").read_text())
    names = tuple(sorted(images["train"]))

    def records() -> Iterator[Record]:
        for split, classes in images.items():
            for class_name in sorted(classes):
                for image in classes[class_name]:
                    path = f"food-101/images/{image}.jpg"
                    yield Record(split, None, path, names.index(class_name), class_name)

    counts = {split: sum(len(paths) for paths in classes.values()) for split, classes in images.items()}
    return Source(records, counts, names, root)
