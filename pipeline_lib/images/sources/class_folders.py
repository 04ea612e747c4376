"""What ImageNet and Tiny-ImageNet share: one folder of images a WordNet id."""

from __future__ import annotations

import os
from pathlib import Path

from pipeline_lib.base.errors import MissingFileError, UserError
from pipeline_lib.images.image_files import is_image_name


def images_of(folder: Path) -> list[str]:
    """Names of the image files directly inside a class folder, sorted.

    Args:
        folder: The class folder.

    Returns:
        File names; hidden files and other extensions are left out.

    Raises:
        MissingFileError: There is no such folder.
        UserError: There is no image in it.
    """
    if not folder.is_dir():
        raise MissingFileError(f"{folder}: class folder not found; put the images of that WordNet id there")
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if is_image_name(entry.name) and not entry.name.startswith("."))
    if not names:
        raise UserError(f"{folder}: no image in this class folder")
    return names
