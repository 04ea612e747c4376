"""Finds the image files of a folder in a stable order."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from pipeline_lib.base.errors import UserError

IMAGE_EXTENSIONS = ("bmp", "gif", "jfif", "jpe", "jpeg", "jpg", "pbm", "pgm", "png", "ppm", "tif", "tiff", "webp")


def is_image_name(name: str) -> bool:
    """Whether a file name ends in one of ``IMAGE_EXTENSIONS``, in any case."""
    return name.rpartition(".")[2].lower() in IMAGE_EXTENSIONS


def walk(folder: Path) -> Iterator[str]:
    """All files below a folder that are not hidden, following links, depth first in the order of their names.

    Files and folders of one folder come in one order, by the code points of their names, whatever the file system
    gives. Hidden ones (their name begins with a dot) are left out.

    Args:
        folder: Where to begin.

    Yields:
        Paths relative to ``folder`` with forward slashes.

    Raises:
        UserError: A file name is not UTF-8.
    """
    yield from _walk(folder, "", frozenset())


def _walk(folder: Path, prefix: str, above: frozenset[str]) -> Iterator[str]:
    real = os.path.realpath(folder)
    if real in above:  # a link to a folder that it lies in
        return
    with os.scandir(folder) as entries:
        names = sorted((entry.name, entry.is_dir()) for entry in entries if not entry.name.startswith("."))
    for name, is_folder in names:
        if any("\udc80" <= letter <= "\udcff" for letter in name):
            raise UserError(f"{folder}: file name {name!a} is not UTF-8; rename it")
        if is_folder:
            yield from _walk(folder / name, f"{prefix}{name}/", above | {real})
        else:
            yield f"{prefix}{name}"


def subfolders(folder: Path) -> list[str]:
    """Names of the folders directly inside that are not hidden, sorted by code points."""
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
