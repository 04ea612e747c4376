"""PASCAL VOC and other data sets in its layout, the VOCdevkit (Everingham et al., 2010)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from PIL import Image

from pipeline_lib.base.errors import UserError
from pipeline_lib.base.progress import progress
from pipeline_lib.images.sources.annotations import AnnotatedSource, ImageAnnotation, ObjectAnnotation, image_label
from pipeline_lib.images.sources.records import Record, Source
from pipeline_lib.images.sources.voc_boxes import class_names, read_boxes
from pipeline_lib.images.sources.voc_masks import class_map, object_masks, read_map
from pipeline_lib.images.sources.voc_splits import VocImage, VocOptions, voc_folders, voc_images


def open_voc(root: Path, voc: VocOptions | None = None) -> AnnotatedSource:
    """Open ``root/VOCdevkit/VOC<year>`` with ``JPEGImages``, ``Annotations``, ``ImageSets`` and maps where there are.

    All annotation files are read now; images and maps are read later.

    Args:
        root: Folder of the data set.
        voc: Years, task and splits.

    Returns:
        The source; an image's label is the class of its largest object that is not difficult.

    Raises:
        MissingFileError: A folder, a list or an annotation file is absent.
        UserError: An annotation file is broken, or names a class that the data set does not list.
    """
    chosen = voc or VocOptions()
    folders = voc_folders(root, chosen.years)
    images = voc_images(folders, chosen.task, chosen.evaluate_on)
    boxes = [read_boxes(image.annotation, image.list_file) for image in progress(images, "annotations", unit="image")]
    names = class_names(folders, {thing.name for things in boxes for thing in things})
    label_of = {name: label for label, name in enumerate(names)}
    objects = [
        tuple(ObjectAnnotation(label_of[thing.name], thing.box, thing.difficult) for thing in things)
        for things in boxes
    ]

    def records() -> Iterator[Record]:
        for image, things in zip(images, objects, strict=True):
            label = image_label(things)
            path = image.image.relative_to(root).as_posix()
            yield Record(image.split, None, path, label, None if label is None else names[label])

    counts = {split: sum(image.split == split for image in images) for split in ("train", "val")}
    source = Source(records, counts, names, root)
    return AnnotatedSource(source, names, lambda id: _annotation(images[id], objects[id], names))


def _annotation(image: VocImage, objects: tuple[ObjectAnnotation, ...], names: Sequence[str]) -> ImageAnnotation:
    """Objects of an image with their masks where its year has a map of objects, and its map of classes."""
    size = _size(image.image)
    # The augmented set's maps are coarser than VOC's own: they are for training only, and where VOC has none.
    order = ("SegmentationClass", "SegmentationClassAug") if image.split == "train" else ("SegmentationClass",)
    files = [image.folder / folder / f"{image.stem}.png" for folder in order]
    file = next((path for path in files if path.is_file()), None)
    segmentation = None if file is None else class_map(file, size, len(names))
    regions = image.folder / "SegmentationObject" / f"{image.stem}.png"
    if not regions.is_file():
        return ImageAnnotation(size, objects, segmentation)
    boxes, labels = [thing.box for thing in objects], [thing.label for thing in objects]
    masks = object_masks(read_map(regions, size), segmentation, boxes, labels)
    with_masks = tuple(
        ObjectAnnotation(thing.label, thing.box, thing.difficult, mask=mask)
        for thing, mask in zip(objects, masks, strict=True)
    )
    return ImageAnnotation(size, with_masks, segmentation)


def _size(path: Path) -> tuple[int, int]:
    try:
        with Image.open(path) as image:
            return image.height, image.width
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({' '.join(str(error).split())})") from None
