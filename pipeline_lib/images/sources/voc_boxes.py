"""Boxes and classes of VOC's annotation files."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pipeline_lib.base.errors import MissingFileError, UserError
from pipeline_lib.images.sources.annotations import Box

VOC_CLASSES = (
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)
_CLASS_LIST = re.compile(r"(.+)_(?:train|val|trainval|test)\.txt")


@dataclass(frozen=True)
class NamedBox:
    """An object as its XML file tells it.

    Attributes:
        name: Name of its class.
        box: x0, y0, x1, y1 in pixels from 0, ends exclusive.
        difficult: Not counted in VOC's metric.
    """

    name: str
    box: Box
    difficult: bool


def read_boxes(path: Path, list_file: Path) -> tuple[NamedBox, ...]:
    """Read one annotation file.

    VOC counts pixels from 1 and its boxes hold their last row and column: ``xmin`` becomes x0 = xmin - 1, and ``xmax``
    becomes the exclusive x1 as it is.

    Args:
        path: ``Annotations/<name>.xml``.
        list_file: The list that names the image, for the message.

    Returns:
        Objects in the order of the file.

    Raises:
        MissingFileError: There is no such file.
        UserError: It is no XML, or an object in it lacks a name or a box.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise MissingFileError(f"{path}: not found; every image of {list_file} needs its annotation") from None
    try:
        root = ElementTree.fromstring(content)
    except ElementTree.ParseError as error:
        raise UserError(f"{path}: broken XML ({error})") from None
    return tuple(_named_box(path, number, element) for number, element in enumerate(root.findall("object"), start=1))


def _named_box(path: Path, number: int, element: ElementTree.Element) -> NamedBox:
    name = (element.findtext("name") or "").strip()
    if not name:
        raise UserError(f"{path}: object {number} has no name")
    try:
        x_min, y_min, x_max, y_max = (
            float(element.findtext(f"bndbox/{side}") or "") for side in ("xmin", "ymin", "xmax", "ymax")
        )
        difficult = int(element.findtext("difficult") or 0) == 1
    except ValueError:
        raise UserError(f"{path}: object {number} ({name}) needs numbers in bndbox and difficult") from None
    return NamedBox(name, (x_min - 1, y_min - 1, x_max, y_max), difficult)


def class_names(folders: Iterable[Path], found: set[str]) -> tuple[str, ...]:
    """Names of the classes by label, in the order of VOC's maps: alphabetical.

    They are those that have lists of their own (``ImageSets/Main/<class>_train.txt``); where there are no such lists,
    VOC's twenty, or, if a name is none of these, the names found.

    Args:
        folders: Folders ``VOC<year>``.
        found: Names in the annotations.

    Returns:
        The names.

    Raises:
        UserError: A name found has no list though others have.
    """
    files = [path.name for folder in folders for path in (folder / "ImageSets" / "Main").glob("*_*.txt")]
    listed = {match.group(1) for name in files if (match := _CLASS_LIST.fullmatch(name))}
    if not listed:
        return VOC_CLASSES if found <= set(VOC_CLASSES) else tuple(sorted(found))
    if odd := sorted(found - listed):
        where = ", ".join(str(folder / "ImageSets" / "Main") for folder in folders)
        raise UserError(
            f"{where}: no list of class {odd[0]!r}, which annotations name; found {', '.join(sorted(listed))}"
        )
    return tuple(sorted(listed))
