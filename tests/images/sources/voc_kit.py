"""A tiny VOCdevkit for tests."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

Thing = tuple[str, tuple[float, float, float, float], int]


def add_image(root: Path, year: int, stem: str, things: Sequence[Thing], size: tuple[int, int] = (12, 16)) -> None:
    """Image (height, width) and XML; boxes as VOC writes them: from 1, ends inclusive."""
    folder = root / "VOCdevkit" / f"VOC{year}"
    (folder / "JPEGImages").mkdir(parents=True, exist_ok=True)
    (folder / "Annotations").mkdir(exist_ok=True)
    Image.new("RGB", size[::-1], (10, 90, 200)).save(folder / "JPEGImages" / f"{stem}.jpg")
    objects = ""
    for name, (x_min, y_min, x_max, y_max), difficult in things:
        box = f"<xmin>{x_min}</xmin><ymin>{y_min}</ymin><xmax>{x_max}</xmax><ymax>{y_max}</ymax>"
        objects += f"<object><name>{name}</name><difficult>{difficult}</difficult><bndbox>{box}</bndbox></object>"
    (folder / "Annotations" / f"{stem}.xml").write_text(f"<annotation>{objects}</annotation>")


def add_list(root: Path, year: int, name: str, lines: Sequence[str]) -> Path:
    """``ImageSets/<name>.txt``."""
    path = root / "VOCdevkit" / f"VOC{year}" / "ImageSets" / f"{name}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def add_map(root: Path, year: int, folder: str, stem: str, values: np.ndarray) -> Path:
    """A PNG of indices."""
    path = root / "VOCdevkit" / f"VOC{year}" / folder / f"{stem}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values.astype(np.uint8)).save(path)
    return path
