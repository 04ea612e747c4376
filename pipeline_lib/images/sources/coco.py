"""MS COCO 2017 with its instance annotations, and other data sets in this layout (Lin et al., 2014)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_masks

from pipeline_lib.base.errors import MissingFileError, UserError
from pipeline_lib.images.sources.annotations import (
    IGNORED,
    AnnotatedSource,
    ImageAnnotation,
    ObjectAnnotation,
    image_label,
)
from pipeline_lib.images.sources.records import Record, Source

_FOLDERS = {"train": "train2017", "val": "val2017"}


@dataclass(frozen=True)
class _Instance:
    """An object whose mask is still encoded: polygons, or run lengths."""

    thing: ObjectAnnotation
    encoded: Any


@dataclass(frozen=True)
class _CocoImage:
    split: str
    path: str
    size: tuple[int, int]
    instances: tuple[_Instance, ...]
    where: str


def open_coco(root: Path) -> AnnotatedSource:
    """Open ``annotations/instances_{train,val}2017.json`` and ``{train,val}2017/*.jpg`` in ``root`` or ``root/coco``.

    Category ids, which have gaps, become labels in ascending order.

    Args:
        root: Folder of the data set.

    Returns:
        The source; an image's label is the class of its object with the largest box, crowds left out.

    Raises:
        MissingFileError: A file or folder is absent.
        UserError: A file is not of this format, or both name different categories.
    """
    below = root if (root / "annotations").is_dir() or not (root / "coco").is_dir() else root / "coco"
    images: list[_CocoImage] = []
    categories: dict[int, str] = {}
    for split, folder in _FOLDERS.items():
        if not (below / folder).is_dir():
            raise MissingFileError(f"{below / folder}: not found; unpack COCO's {folder}.zip there")
        path = below / "annotations" / f"instances_{folder}.json"
        found, split_images = _read(path, split, (below / folder).relative_to(root).as_posix())
        if images and found != categories:
            raise UserError(f"{path}: its categories are not those of instances_{_FOLDERS['train']}.json")
        categories = found
        images += split_images
    names = tuple(categories.values())

    def records() -> Iterator[Record]:
        for image in images:
            label = image_label(tuple(instance.thing for instance in image.instances))
            yield Record(image.split, None, image.path, label, None if label is None else names[label])

    counts = {split: sum(image.split == split for image in images) for split in _FOLDERS}
    return AnnotatedSource(Source(records, counts, names, root), names, lambda id: _annotation(images[id]))


def _read(path: Path, split: str, folder: str) -> tuple[dict[int, str], list[_CocoImage]]:
    """Category names by ascending id, and the images of a split in the order of the file."""
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise MissingFileError(f"{path}: not found; unpack COCO's annotations_trainval2017.zip there") from None
    except ValueError as error:
        raise UserError(f"{path}: not valid JSON ({error})") from None
    try:
        categories = {int(entry["id"]): str(entry["name"]) for entry in content["categories"]}
        categories = dict(sorted(categories.items()))
        label_of = {category: label for label, category in enumerate(categories)}
        instances: dict[int, list[_Instance]] = {int(image["id"]): [] for image in content["images"]}
        for entry in content["annotations"]:
            instances[int(entry["image_id"])].append(_instance(entry, label_of))
        images = [_image(entry, split, folder, instances[int(entry["id"])], path) for entry in content["images"]]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: not COCO's instances format ({type(error).__name__}: {error})") from None
    if not images:
        raise UserError(f"{path}: no image of the {split} split in it")
    return categories, images


def _instance(entry: Mapping[str, Any], label_of: Mapping[int, int]) -> _Instance:
    x, y, width, height = (float(value) for value in entry["bbox"])
    thing = ObjectAnnotation(
        label_of[int(entry["category_id"])], (x, y, x + width, y + height), crowd=bool(entry.get("iscrowd", 0))
    )
    return _Instance(thing, entry.get("segmentation"))


def _image(entry: Mapping[str, Any], split: str, folder: str, instances: Sequence[_Instance], path: Path) -> _CocoImage:
    size = int(entry["height"]), int(entry["width"])
    where = f"{path}: image {entry['id']}"
    return _CocoImage(split, f"{folder}/{entry['file_name']}", size, tuple(instances), where)


def _annotation(image: _CocoImage) -> ImageAnnotation:
    """Objects with decoded masks, and the map of classes where every object has a mask.

    Pixels of crowds, and of objects of different classes at once, are not counted in the map.
    """
    objects = []
    segmentation = np.zeros(image.size, dtype=np.uint8)
    crowds = np.zeros(image.size, dtype=bool)
    for instance in image.instances:
        thing = instance.thing
        mask = _decoded(instance.encoded, image)
        objects.append(ObjectAnnotation(thing.label, thing.box, crowd=thing.crowd, mask=mask))
        if mask is not None and thing.crowd:
            crowds |= mask
        elif mask is not None:
            clash = mask & (segmentation != 0) & (segmentation != thing.label + 1)
            segmentation[mask] = thing.label + 1
            segmentation[clash] = IGNORED
    segmentation[crowds] = IGNORED
    complete = all(thing.mask is not None for thing in objects)
    return ImageAnnotation(image.size, tuple(objects), segmentation if complete else None)


def _decoded(encoded: Any, image: _CocoImage) -> NDArray[np.bool_] | None:
    """Mask of an object, bool (H, W): from polygons, or from run lengths as a list or compressed."""
    if not encoded:
        return None
    height, width = image.size
    try:
        if isinstance(encoded, list):
            runs = coco_masks.merge(coco_masks.frPyObjects(encoded, height, width))
        elif isinstance(encoded["counts"], list):
            runs = coco_masks.frPyObjects(encoded, height, width)
        else:
            runs = encoded
        mask: NDArray[np.bool_] = coco_masks.decode(runs).astype(bool)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise UserError(f"{image.where}: a segmentation cannot be decoded ({error})") from None
    if mask.shape != image.size:
        raise UserError(f"{image.where}: a mask of {mask.shape} in an image of {image.size}")
    return mask
