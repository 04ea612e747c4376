"""What every image source gives: records in a stable order, and how many there are."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipeline_lib.base.errors import UserError

Labels = Literal["auto", "folders", "none"]
Subset = Literal[50, 100, 200, "100_cmc"]

_SPLIT_OF = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}


@dataclass(frozen=True)
class Record:
    """One image of a source.

    Attributes:
        split: ``train``, ``val`` or ``test``.
        image: Encoded bytes, or None where there is a path.
        path: Path relative to the source's root, with forward slashes, or None where there are bytes.
        label: Label from 0, or None where unknown.
        class_name: Name of the class, or None where unknown.
        origin: What messages call an image that has no path, for example its file and row.
    """

    split: str
    image: bytes | None
    path: str | None
    label: int | None = None
    class_name: str | None = None
    origin: str = ""

    def __post_init__(self) -> None:
        if (self.image is None) == (self.path is None):
            raise ValueError("a record has either bytes or a path")


@dataclass(frozen=True)
class Source:
    """An image source.

    Attributes:
        records: Starts a new pass over all records, always in the same order.
        counts: Number of records of each split.
        class_names: Names by label, or None where there are no labels or no names.
        root: Folder that the paths of records are relative to, or None where records hold bytes.
        ignored_files: Files in the root that are no images (hidden files are not counted).
    """

    records: Callable[[], Iterator[Record]]
    counts: dict[str, int]
    class_names: tuple[str, ...] | None
    root: Path | None = None
    ignored_files: int = 0

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits."""
        return tuple(self.counts)


def split_of(name: str) -> str | None:
    """``train``, ``val`` or ``test`` for the names that are in use for them in any case, else None."""
    return _SPLIT_OF.get(name.lower())


def evaluation_splits(found: Collection[str], where: str) -> dict[str, str]:
    """How the splits of an origin are called here: its test split is ``val`` unless it has a ``val`` of its own.

    Args:
        found: Split names as ``split_of`` gives them.
        where: Name of the origin, for the message.

    Returns:
        From the origin's split to ours.

    Raises:
        UserError: There is no train split.
    """
    if "train" not in found:
        raise UserError(f"{where}: expected a train split, found only {', '.join(sorted(found))}")
    return {split: "val" if split == "test" and "val" not in found else split for split in found}
