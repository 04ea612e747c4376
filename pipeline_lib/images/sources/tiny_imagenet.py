"""Tiny-ImageNet in its standard layout."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pipeline_lib.base.errors import MissingFileError, UserError
from pipeline_lib.images.sources.class_folders import images_of
from pipeline_lib.images.sources.records import Record, Source


def open_tiny_imagenet(root: Path) -> Source:
    """Open ``train/<wnid>/images/*.JPEG`` and ``val/images/*.JPEG`` with ``val/val_annotations.txt``.

    Labels are the numbers of the ids of ``wnids.txt`` in sorted order; names are those of ``words.txt`` where it is
    there, else the ids.

    Args:
        root: Folder of the data set (``tiny-imagenet-200``).

    Returns:
        A source of paths.

    Raises:
        MissingFileError: A file or class folder is absent.
        UserError: ``val_annotations.txt`` is not as expected.
    """
    wnids = sorted(_lines(root / "wnids.txt"))
    number = {wnid: label for label, wnid in enumerate(wnids)}
    names = _names(root, wnids)
    val = _annotations(root / "val" / "val_annotations.txt", number)
    counts = {"train": sum(len(images_of(root / "train" / wnid / "images")) for wnid in wnids), "val": len(val)}

    def records() -> Iterator[Record]:
        for label, wnid in enumerate(wnids):
            for name in images_of(root / "train" / wnid / "images"):
                yield Record("train", None, f"train/{wnid}/images/{name}", label, names[label])
        for name, label in val:
            yield Record("val", None, f"val/images/{name}", label, names[label])

    return Source(records, counts, names, root)


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        raise MissingFileError(f"{path}: not found; put Tiny-ImageNet's file there")
    return [line for line in path.read_text().splitlines() if line.strip()]


def _names(root: Path, wnids: list[str]) -> tuple[str, ...]:
    path = root / "words.txt"
    words = dict(line.split("\t", 1) for line in _lines(path) if "\t" in line) if path.is_file() else {}
    return tuple(words.get(wnid, wnid) for wnid in wnids)


def _annotations(path: Path, number: dict[str, int]) -> list[tuple[str, int]]:
    images = []
    for line in _lines(path):
        name, _, rest = line.partition("\t")
        wnid = rest.split("\t")[0]
        if wnid not in number:
            raise UserError(f"{path}: expected a file name, a tab and an id of wnids.txt, found {line!r}")
        images.append((name, number[wnid]))
    return sorted(images)
