"""Which images of a VOCdevkit are trained on and which are evaluated on."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, assert_never

from pipeline_lib.base.errors import MissingFileError, UserError

VocTask = Literal["detection", "segmentation"]
EvaluateOn = Literal["auto", "test", "val"]


@dataclass(frozen=True)
class VocOptions:
    """Which part of a VOCdevkit is read.

    Attributes:
        years: Years of the folders ``VOC<year>``; None for all that are there.
        task: Whose lists of images are read: ``detection`` ``ImageSets/Main``, ``segmentation``
            ``ImageSets/Segmentation``.
        evaluate_on: Of ``detection``: ``test`` takes trainval of all years as train and the test list as val (the
            protocol of VOC 07+12), ``val`` takes train as train and val as val, ``auto`` the former where a year has a
            test list with annotations.
    """

    years: tuple[int, ...] | None = None
    task: VocTask = "detection"
    evaluate_on: EvaluateOn = "auto"


@dataclass(frozen=True)
class VocImage:
    """One image of a list.

    Attributes:
        split: ``train`` or ``val``.
        folder: The folder ``VOC<year>``.
        stem: Name of its files without extension.
        list_file: The list that names it.
    """

    split: str
    folder: Path
    stem: str
    list_file: Path

    @property
    def annotation(self) -> Path:
        """File with its boxes."""
        return self.folder / "Annotations" / f"{self.stem}.xml"

    @property
    def image(self) -> Path:
        """File with its pixels."""
        return self.folder / "JPEGImages" / f"{self.stem}.jpg"


def voc_folders(root: Path, years: tuple[int, ...] | None) -> tuple[Path, ...]:
    """Folders ``VOC<year>`` below ``root/VOCdevkit`` or ``root``.

    Args:
        root: Folder of the data set.
        years: Years in the order of reading, or None for all that are there.

    Returns:
        The folders.

    Raises:
        MissingFileError: A year is absent, or there is none.
    """
    devkit = root / "VOCdevkit" if (root / "VOCdevkit").is_dir() else root
    if years is None:
        found = sorted(path for path in devkit.glob("VOC*") if re.fullmatch(r"VOC\d{4}", path.name) and path.is_dir())
        if not found:
            raise MissingFileError(f"{root}: no folder VOCdevkit/VOC<year> in it; unpack PASCAL VOC there")
        return tuple(found)
    folders = tuple(devkit / f"VOC{year}" for year in years)
    for folder in folders:
        if not folder.is_dir():
            raise MissingFileError(f"{folder}: not found; unpack PASCAL VOC there or change years")
    return folders


def voc_images(folders: tuple[Path, ...], task: VocTask, evaluate_on: EvaluateOn) -> list[VocImage]:
    """Images of both splits, train before val, in the order of the lists.

    Segmentation trains on ``trainaug`` (VOC 2012 with the masks of SBD, Hariharan et al., 2011) in the years that have
    this list and the folder ``SegmentationClassAug``, and on ``train`` in others.

    Args:
        folders: The years' folders.
        task: Whose lists are read.
        evaluate_on: See ``VocOptions``.

    Returns:
        The images.

    Raises:
        MissingFileError: A list is absent.
        UserError: A list is empty, or ``evaluate_on`` does not fit the task or the files.
    """
    match task:
        case "segmentation":
            if evaluate_on != "auto":
                raise UserError(
                    f"data evaluate_on: got {evaluate_on!r} with task 'segmentation', allowed is 'auto' (its val list)"
                )
            lists = [("train", folder, "Segmentation", _segmentation_train(folder)) for folder in folders]
            lists += [("val", folder, "Segmentation", "val") for folder in folders]
        case "detection":
            lists = _detection_lists(folders, evaluate_on)
        case _:
            assert_never(task)
    images = [image for entry in lists for image in _read_list(*entry)]
    for split in ("train", "val"):
        if not any(image.split == split for image in images):
            names = ", ".join(
                str(_list_file(folder, purpose, name)) for which, folder, purpose, name in lists if which == split
            )
            raise UserError(f"{names}: no image of the {split} split in it")
    return images


def _segmentation_train(folder: Path) -> str:
    has_masks = (folder / "SegmentationClassAug").is_dir()
    return "trainaug" if has_masks and _list_file(folder, "Segmentation", "trainaug").is_file() else "train"


def _detection_lists(folders: tuple[Path, ...], evaluate_on: EvaluateOn) -> list[tuple[str, Path, str, str]]:
    tested = [folder for folder in folders if _has_annotated_test(folder)]
    if evaluate_on == "test" and not tested:
        where = ", ".join(str(_list_file(folder, "Main", "test")) for folder in folders)
        raise MissingFileError(f"{where}: no test list whose images have annotations; unpack VOCtest there")
    if evaluate_on == "val" or not tested:
        return [(split, folder, "Main", split) for split in ("train", "val") for folder in folders]
    return [
        *(("train", folder, "Main", "trainval") for folder in folders),
        *(("val", folder, "Main", "test") for folder in tested),
    ]


def _has_annotated_test(folder: Path) -> bool:
    if not _list_file(folder, "Main", "test").is_file():
        return False
    return any(image.annotation.is_file() for image in _read_list("val", folder, "Main", "test"))


def _list_file(folder: Path, purpose: str, name: str) -> Path:
    return folder / "ImageSets" / purpose / f"{name}.txt"


def _read_list(split: str, folder: Path, purpose: str, name: str) -> list[VocImage]:
    path = _list_file(folder, purpose, name)
    if not path.is_file():
        raise MissingFileError(f"{path}: not found; it lists the images of the {split} split")
    # Lists of the augmented set hold paths of image and mask in some copies, names alone in others.
    stems = [Path(line.split()[0]).stem for line in path.read_text().splitlines() if line.strip()]
    return [VocImage(split, folder, stem, path) for stem in stems]
