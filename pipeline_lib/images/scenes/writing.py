"""Writes generated scenes in the standard VOCdevkit layout, as VOC 2007 is laid out."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline_lib.artifacts.folder import new_folder
from pipeline_lib.base.progress import progress
from pipeline_lib.images.scenes.composition import Scene, box_of, compose_scene
from pipeline_lib.images.scenes.settings import SceneSettings
from pipeline_lib.images.scenes.shapes import digit_shapes

CLASS_NAMES = tuple(str(digit) for digit in range(10))
_JPEG_QUALITY = 95
_YEAR = "VOC2007"


def _voc_palette() -> list[int]:
    palette = []
    for index in range(256):
        colour = [0, 0, 0]
        for bit in range(8):
            colour[bit % 3] |= (index >> bit & 1) << (7 - bit // 3)
        palette += colour
    return palette


_PALETTE = _voc_palette()


def write_scenes(folder: Path, settings: SceneSettings) -> dict[str, Any]:
    """Draw and write all scenes; scene ``k`` of a split does not depend on how many there are.

    Args:
        folder: Gets ``VOCdevkit/VOC2007`` with images, boxes, maps of classes and of objects, and lists of both splits.
        settings: What to draw.

    Returns:
        Number of scenes and objects.
    """
    shapes = digit_shapes(settings.seed)
    names: dict[str, list[str]] = {"train": [], "val": []}
    classes: dict[str, dict[str, set[int]]] = {"train": {}, "val": {}}
    counts = {"train": settings.train, "val": settings.val}
    jobs = [(split, number) for split, count in counts.items() for number in range(count)]
    objects = 0
    with new_folder(folder) as temporary:
        root = temporary / "VOCdevkit" / _YEAR
        for name in ("JPEGImages", "Annotations", "SegmentationClass", "SegmentationObject"):
            (root / name).mkdir(parents=True)
        for position, (split, number) in enumerate(progress(jobs, "scenes", total=len(jobs), unit="image")):
            rng = np.random.default_rng([settings.seed, 1, list(counts).index(split), number])
            scene = compose_scene(shapes[split], settings, rng)
            stem = f"{position + 1:06d}"
            _write_scene(root, stem, scene)
            names[split].append(stem)
            classes[split][stem] = set(scene.labels)
            objects += len(scene.labels)
        _write_lists(root, names, classes)
    return {"scenes": len(jobs), "objects": objects}


def _write_scene(root: Path, stem: str, scene: Scene) -> None:
    class_map = np.zeros(scene.masks.shape[1:], dtype=np.uint8)
    object_map = np.zeros_like(class_map)
    for number, (label, mask) in enumerate(zip(scene.labels, scene.masks, strict=True), start=1):
        class_map[mask] = label + 1
        object_map[mask] = number
    Image.fromarray(scene.image).save(root / "JPEGImages" / f"{stem}.jpg", quality=_JPEG_QUALITY, subsampling=0)
    for folder, values in (("SegmentationClass", class_map), ("SegmentationObject", object_map)):
        (root / folder / f"{stem}.png").write_bytes(palette_png(values))
    (root / "Annotations" / f"{stem}.xml").write_text(_annotation(stem, scene))


def _annotation(stem: str, scene: Scene) -> str:
    """VOC's XML: boxes in pixels from 1, with inclusive ends."""
    height, width = scene.masks.shape[1:]
    lines = [
        "<annotation>",
        f"  <folder>{_YEAR}</folder>",
        f"  <filename>{stem}.jpg</filename>",
        f"  <size><width>{width}</width><height>{height}</height><depth>3</depth></size>",
        "  <segmented>1</segmented>",
    ]
    for label, mask in zip(scene.labels, scene.masks, strict=True):
        x0, y0, x1, y1 = box_of(mask)
        box = f"<xmin>{x0 + 1}</xmin><ymin>{y0 + 1}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax>"
        name = escape(CLASS_NAMES[label])
        lines.append(f"  <object><name>{name}</name><difficult>0</difficult><bndbox>{box}</bndbox></object>")
    return "\n".join([*lines, "</annotation>", ""])


def _write_lists(
    root: Path, names: Mapping[str, Sequence[str]], classes: Mapping[str, Mapping[str, Iterable[int]]]
) -> None:
    """Lists of the splits, and for each class whether a scene holds it (1) or not (-1)."""
    lists = {**names, "trainval": [*names["train"], *names["val"]]}
    present = {**classes["train"], **classes["val"]}
    for purpose in ("Main", "Segmentation"):
        (root / "ImageSets" / purpose).mkdir(parents=True)
    for split, stems in lists.items():
        for purpose in ("Main", "Segmentation"):
            (root / "ImageSets" / purpose / f"{split}.txt").write_text("".join(f"{stem}\n" for stem in stems))
        for label, class_name in enumerate(CLASS_NAMES):
            lines = [f"{stem} {1 if label in present[stem] else -1:2d}\n" for stem in stems]
            (root / "ImageSets" / "Main" / f"{class_name}_{split}.txt").write_text("".join(lines))


def palette_png(values: NDArray[np.uint8]) -> bytes:
    """A PNG whose palette is VOC's: the bits of an index are dealt out to red, green and blue in turn, highest first.

    Args:
        values: uint8 (height, width).

    Returns:
        The encoded file.
    """
    image = Image.fromarray(values)
    image.putpalette(_PALETTE)
    stream = io.BytesIO()
    image.save(stream, format="PNG")
    return stream.getvalue()
