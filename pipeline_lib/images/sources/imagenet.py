"""ImageNet (ILSVRC-2012) and its usual subsets from a local folder."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import get_args

from pipeline_lib.base.errors import MissingFileError, UserError
from pipeline_lib.images.image_files import subfolders
from pipeline_lib.images.sources.class_folders import images_of
from pipeline_lib.images.sources.records import Record, Source, Subset

_SPLITS = ("train", "val")


def open_imagenet(root: Path, subset: Subset | None = None) -> Source:
    """Open ``root/train/<wnid>/*.JPEG`` and ``root/val/<wnid>/*.JPEG``.

    Args:
        root: Folder of the data set.
        subset: None for all folders of ``train`` (sorted: the usual class numbers for all 1000); 50, 100 or 200 for the
            subsets of SCAN (Van Gansbeke et al., 2020); ``100_cmc`` for the ImageNet-100 of contrastive learning
            (Tian et al., 2020), which is another one. A label is the line number in the subset's list.

    Returns:
        A source of paths whose class names are WordNet ids.

    Raises:
        MissingFileError: A split's folder or a class folder is absent.
        UserError: The subset is unknown or a class folder is empty.
    """
    for split in _SPLITS:
        if not (root / split).is_dir():
            raise MissingFileError(f"{root / split}: not found; put one folder a WordNet id there (<wnid>/*.JPEG)")
    wnids = tuple(subfolders(root / "train")) if subset is None else class_list(subset)
    if not wnids:
        raise UserError(f"{root / 'train'}: no class folder in it; put one folder a WordNet id there (<wnid>/*.JPEG)")
    counts = {split: sum(len(images_of(root / split / wnid)) for wnid in wnids) for split in _SPLITS}

    def records() -> Iterator[Record]:
        for split in _SPLITS:
            for label, wnid in enumerate(wnids):
                for name in images_of(root / split / wnid):
                    yield Record(split, None, f"{split}/{wnid}/{name}", label, wnid)

    return Source(records, counts, wnids, root)


def class_list(subset: Subset) -> tuple[str, ...]:
    """WordNet ids of a subset in the order of its published list.

    Args:
        subset: 50, 100, 200 or ``100_cmc``.

    Returns:
        The ids.

    Raises:
        UserError: The subset is unknown.
    """
    if subset not in get_args(Subset):
        allowed = ", ".join(str(name) for name in get_args(Subset))
        raise UserError(f"data subset: got {subset!r}, allowed are null, {allowed}")
    folder = resources.files("pipeline_lib.images.sources").joinpath("resources")
    return tuple(folder.joinpath(f"imagenet{subset}.txt").read_text().split())
