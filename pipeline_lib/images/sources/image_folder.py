"""Any folder of images, with or without split folders, with or without class folders."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pipeline_lib.base.errors import MissingFileError, UserError
from pipeline_lib.images.image_files import IMAGE_EXTENSIONS, is_image_name, subfolders, walk
from pipeline_lib.images.sources.records import Labels, Record, Source, evaluation_splits, split_of


def open_folder(root: Path, labels: Labels = "auto") -> Source:
    """Open a folder of images.

    Splits: where ``root`` has a folder ``train`` and beside it only folders named ``val``, ``valid``, ``validation``,
    ``dev`` or ``test`` (in any case), these are the splits; ``test`` is read as ``val`` unless there is a ``val`` too.
    Every other folder is one split, ``train``. Classes: the folder directly below the split's; an image that lies in
    the split's folder itself has no class. Labels are the classes' numbers by name, over all splits together. Records
    come split by split (train, val, test), in the order of ``walk``.

    Args:
        root: The folder.
        labels: ``folders``: every image has to be in a class folder. ``none``: folders are no classes. ``auto``:
            folders are classes where there are two or more of them.

    Returns:
        A source of paths.

    Raises:
        MissingFileError: ``root`` is no folder.
        UserError: There is no image in it, it has odd folders beside its split folders, or, with ``labels`` =
            ``folders``, an image is in no class folder.
    """
    if not root.is_dir():
        raise MissingFileError(f"{root}: no such folder; put the images there or name another one")
    if labels not in ("auto", "folders", "none"):
        raise UserError(f"data labels: got {labels!r}, allowed are auto, folders, none")
    folders = _split_folders(root)
    counts, classes, ignored = _count(root, folders)
    if not sum(counts.values()):
        raise UserError(f"{root}: no image in it, {ignored} other files; accepted are {', '.join(IMAGE_EXTENSIONS)}")
    if not counts["train"]:
        raise UserError(f"{root / folders['train']}: no image in the train split; put images there")
    if labels == "folders" and None in classes:
        raise UserError(f"{root / classes[None]}: in no class folder, but labels = folders; use auto or none")
    names = sorted(name for name in classes if name is not None)
    known = tuple(names) if labels == "folders" or (labels == "auto" and len(names) > 1) else None

    def records() -> Iterator[Record]:
        numbers = {name: number for number, name in enumerate(known or ())}
        for split, below, path in _files(root, folders):
            if is_image_name(below):
                name = _class_of(below)
                label = numbers.get(name) if name is not None else None
                yield Record(split, None, path, label, name if label is not None else None)

    return Source(records, {split: count for split, count in counts.items() if count}, known, root, ignored)


def _split_folders(root: Path) -> dict[str, str]:
    """Folder name of each split in the order train, val, test; the empty name where ``root`` is one split."""
    names = subfolders(root)
    splits = {name: split_of(name) for name in names}
    if "train" not in splits.values():
        return {"train": ""}
    found = sorted({split for split in splits.values() if split}, key=("train", "val", "test").index)
    odd = [name for name, split in splits.items() if split is None]
    if odd and len(found) == 1:  # folders of classes, one of which is called train
        return {"train": ""}
    if odd:
        raise UserError(
            f"{root / odd[0]}: expected only split folders (train, val, test) beside train, found {odd[0]!r}"
        )
    if len(found) != len(names):
        raise UserError(f"{root}: expected one folder a split, found {', '.join(names)}")
    target = evaluation_splits(found, str(root))
    folder_of = {split: name for name, split in splits.items()}
    return {target[split]: folder_of[split] for split in found}


def _count(root: Path, folders: dict[str, str]) -> tuple[dict[str, int], dict[str | None, str], int]:
    """Images by split, the path of the first image of each class, and the number of other files."""
    counts = dict.fromkeys(folders, 0)
    classes: dict[str | None, str] = {}
    beside = [path for path in root.iterdir() if path.is_file() and not path.name.startswith(".")]
    ignored = len(beside) if all(folders.values()) else 0
    for split, below, path in _files(root, folders):
        if is_image_name(below):
            counts[split] += 1
            classes.setdefault(_class_of(below), path)
        else:
            ignored += 1
    return counts, classes, ignored


def _files(root: Path, folders: dict[str, str]) -> Iterator[tuple[str, str, str]]:
    """Split, path below the split's folder and path below ``root`` of every file."""
    for split, name in folders.items():
        for below in walk(root / name):
            yield split, below, f"{name}/{below}" if name else below


def _class_of(below: str) -> str | None:
    name, slash, _ = below.partition("/")
    return name if slash else None
