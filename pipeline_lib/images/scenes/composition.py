"""Puts objects onto a background: one main object in front, smaller ones beside and behind it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline_lib.images.scenes.backgrounds import shared_background, textured_background
from pipeline_lib.images.scenes.settings import SceneSettings
from pipeline_lib.images.scenes.shapes import Cutout, DigitShapes, cut_out

# The main object's mask and box are at least this many times as large as any other's: its class is the image's label.
MAIN_RATIO = 1.5
_MAIN_SMALLEST = 0.6
_TRIES = 30


@dataclass(frozen=True)
class Scene:
    """A scene.

    Attributes:
        image: uint8 (side, side, 3).
        labels: Classes of the objects, the main object last.
        masks: Visible pixels of each object, bool (n, side, side); no two overlap.
    """

    image: NDArray[np.uint8]
    labels: tuple[int, ...]
    masks: NDArray[np.bool_]


@dataclass(frozen=True)
class Placed:
    """An object in a scene.

    Attributes:
        cutout: The object.
        top: Row of its first pixel.
        left: Column of its first pixel.
    """

    cutout: Cutout
    top: int
    left: int

    def window(self) -> tuple[slice, slice]:
        """Rows and columns of the scene that the object lies in."""
        height, width = self.cutout.opacity.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)

    def mask(self, side: int) -> NDArray[np.bool_]:
        """All pixels of the object, also those hidden by others, bool (side, side)."""
        mask = np.zeros((side, side), dtype=bool)
        mask[self.window()] = self.cutout.mask
        return mask


def box_of(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Smallest box around the pixels of a mask: x0, y0, x1, y1 with exclusive ends."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def compose_scene(shapes: DigitShapes, settings: SceneSettings, rng: np.random.Generator) -> Scene:
    """Draw a scene.

    Classes are drawn evenly, colours and background without regard to them.

    Args:
        shapes: Digits of the split.
        settings: Sizes, number of objects, overlap, contrast.
        rng: Source of all draws.

    Returns:
        The scene; it has fewer objects than drawn where no place was left.
    """
    objects = place_objects(shapes, settings, rng)
    if settings.backgrounds:
        number = int(rng.integers(settings.backgrounds))
        pixels = shared_background(settings.side, number, settings.seed, rng)
    else:
        pixels = textured_background(settings.side, rng)
    masks = np.zeros((len(objects), settings.side, settings.side), dtype=bool)
    for number, placed in enumerate(objects):
        _paint(pixels, placed, settings.contrast, rng)
        masks[:number] &= ~placed.mask(settings.side)
        masks[number] = placed.mask(settings.side)
    image = np.rint(pixels * 255).astype(np.uint8)
    return Scene(image, tuple(placed.cutout.label for placed in objects), masks)


def place_objects(shapes: DigitShapes, settings: SceneSettings, rng: np.random.Generator) -> list[Placed]:
    """Draw the objects and their places.

    Args:
        shapes: Digits of the split.
        settings: Sizes, number of objects, overlap.
        rng: Source of all draws.

    Returns:
        Objects from back to front, the main one last.
    """
    classes = len(shapes.by_class)
    smallest, largest = (share * settings.side for share in settings.object_size)
    count = int(rng.integers(1, settings.most_objects + 1))
    size = (
        rng.uniform(max(smallest, _MAIN_SMALLEST * largest), largest) if count > 1 else rng.uniform(smallest, largest)
    )
    main = cut_out(shapes, int(rng.integers(classes)), size, settings.rotation, rng)
    placed = [_at_random(main, settings.side, rng)]
    for _ in range(count - 1):
        label = int(rng.integers(classes))
        for _ in range(_TRIES):
            other = cut_out(shapes, label, rng.uniform(smallest, max(smallest, size * 0.8)), settings.rotation, rng)
            candidate = _at_random(other, settings.side, rng)
            if _is_smaller(other, main) and _is_visible([candidate, *placed], settings):
                placed.insert(0, candidate)
                break
    return placed


def _at_random(cutout: Cutout, side: int, rng: np.random.Generator) -> Placed:
    """The object anywhere that it lies wholly inside the scene."""
    height, width = cutout.opacity.shape
    return Placed(cutout, int(rng.integers(side - height + 1)), int(rng.integers(side - width + 1)))


def _is_smaller(other: Cutout, main: Cutout) -> bool:
    boxes_differ = main.opacity.size >= MAIN_RATIO * other.opacity.size
    return boxes_differ and bool(main.mask.sum() >= MAIN_RATIO * other.mask.sum())


def _is_visible(objects: list[Placed], settings: SceneSettings) -> bool:
    """Whether those in front hide no more of the rearmost object than may be."""
    whole = objects[0].mask(settings.side)
    hidden = np.zeros_like(whole)
    for front in objects[1:]:
        hidden |= front.mask(settings.side)
    return bool((whole & hidden).sum() <= settings.overlap * whole.sum())


def _paint(pixels: NDArray[np.float32], placed: Placed, contrast: float, rng: np.random.Generator) -> None:
    """Lay the object over the pixels in a colour that differs from what lies under it, with slight shading."""
    window = pixels[placed.window()]  # (h, w, 3), a view
    mask = placed.cutout.mask
    under = window[mask].mean(axis=0)
    colour = _contrasting(under, contrast, rng)
    height, width = mask.shape
    shade = rng.uniform(-0.1, 0.1, size=2)
    ramp = shade[0] * np.linspace(-1, 1, height)[:, None] + shade[1] * np.linspace(-1, 1, width)[None, :]
    grain = rng.normal(0, 0.03, size=(height, width))
    painted = np.clip(colour + (ramp + grain)[..., None], 0, 1)  # (h, w, 3)
    opacity = placed.cutout.opacity[..., None]
    window[:] = window * (1 - opacity) + painted * opacity


def _contrasting(under: NDArray[np.float32], contrast: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """A colour at least ``contrast`` times the distance of black and white away from another one."""
    # From no colour in the cube are all others within half its diagonal, so that a contrast of up to 0.5 can be found.
    while True:
        colour = rng.uniform(0, 1, size=3)
        if np.linalg.norm(colour - under) >= contrast * np.sqrt(3):
            return colour
