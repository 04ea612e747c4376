"""A data set with segmentation maps as a folder in VOC's layout, which mmsegmentation reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline_lib.artifacts.dataset import Dataset
from pipeline_lib.artifacts.folder import new_folder
from pipeline_lib.artifacts.objects import Objects, encoded_png
from pipeline_lib.base.progress import progress
from pipeline_lib.images.decoding import decode
from pipeline_lib.segins.transfer.segmentation.samples import rows_with_maps

IMAGES, MAPS, LISTS = "JPEGImages", "SegmentationClass", "ImageSets/Segmentation"
SPLITS = ("train", "val")
_JPEG = b"\xff\xd8\xff"


@dataclass(frozen=True)
class VocFolder:
    """A folder in VOC's layout.

    Attributes:
        root: The folder.
        suffix: Ending of the images' names; that of the maps is ``.png``.
        classes: Names by value of the maps, the background first.
        counts: Images by split.
    """

    root: Path
    suffix: str
    classes: tuple[str, ...]
    counts: dict[str, int]


def _content(dataset: Dataset, split: str, row: int) -> bytes:
    image = dataset.image(split, row)
    return image.read_bytes() if isinstance(image, Path) else image


def write_voc_folder(root: Path, dataset: Dataset, objects: Objects) -> VocFolder:
    """Write the images that have maps, the maps, and a list of names for each split.

    JPEG files are copied where all images are JPEG; otherwise all are decoded and written as PNG, because
    mmsegmentation takes one ending for all.

    Args:
        root: The folder, replaced where it exists.
        dataset: The images, with the splits train and val.
        objects: Their maps: 0 background, 1 + label, 255 not counted.

    Returns:
        What was written.

    Raises:
        UserError: A split has no images with maps, or an image cannot be decoded.
    """
    rows = {split: rows_with_maps(dataset, objects, split).tolist() for split in SPLITS}
    all_jpeg = all(_content(dataset, split, row)[:3] == _JPEG for split in SPLITS for row in rows[split])
    suffix = ".jpg" if all_jpeg else ".png"
    with new_folder(root) as temporary:
        for folder in (IMAGES, MAPS, LISTS):
            (temporary / folder).mkdir(parents=True)
        for split in SPLITS:
            names = []
            ids = dataset.ids(split)
            for row in progress(rows[split], f"write {split}", unit="image"):
                names.append(f"{int(ids[row]):08d}")
                target = temporary / IMAGES / f"{names[-1]}{suffix}"
                if all_jpeg:
                    target.write_bytes(_content(dataset, split, row))
                else:
                    decode(dataset.image(split, row), dataset.name(split, row)).save(target)
                found = objects.segmentation(int(ids[row]))
                if found is not None:
                    (temporary / MAPS / f"{names[-1]}.png").write_bytes(encoded_png(found))
            (temporary / LISTS / f"{split}.txt").write_text("".join(f"{name}\n" for name in names))
    counts = {split: len(rows[split]) for split in SPLITS}
    return VocFolder(root, suffix, ("background", *objects.class_names), counts)
