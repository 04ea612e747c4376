"""Objects of the scenes: scikit-learn's 8 × 8 digits, enlarged smoothly, turned, sheared and cut out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform, spline_filter
from sklearn.datasets import load_digits

_BRIGHTEST = 16
_BORDER = 3
_EDGE = 0.45
# Share of the digits that scenes of the val split are made of.
_VAL_SHARE = 0.25
_ORDER = 3


@dataclass(frozen=True)
class DigitShapes:
    """Digits of one split.

    Attributes:
        by_class: For each class, its digits as spline coefficients with a border, float32 (n, 14, 14).
    """

    by_class: tuple[NDArray[np.float32], ...]


@dataclass(frozen=True)
class Cutout:
    """One object before it is placed, cut to its own box.

    Attributes:
        label: Class, 0 to 9.
        opacity: float32 (h, w) in [0, 1]; soft at the border.
    """

    label: int
    opacity: NDArray[np.float32]

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Pixels of the object, bool (h, w): those where it shows more than the background does."""
        return self.opacity > 0.5


def digit_shapes(seed: int) -> dict[str, DigitShapes]:
    """Digits of the splits: every digit belongs to one of them, drawn class by class.

    Args:
        seed: Seed of the draw.

    Returns:
        Shapes of ``train`` and ``val``.
    """
    digits = load_digits()
    rng = np.random.default_rng([seed, 0])
    splits: dict[str, list[NDArray[np.float32]]] = {"train": [], "val": []}
    for label in range(len(digits.target_names)):
        members = rng.permutation(np.flatnonzero(digits.target == label))
        val_count = round(len(members) * _VAL_SHARE)
        for split, rows in (("val", members[:val_count]), ("train", members[val_count:])):
            splits[split].append(_coefficients(digits.images[rows] / _BRIGHTEST))
    return {split: DigitShapes(tuple(classes)) for split, classes in splits.items()}


def _coefficients(images: NDArray[np.float64]) -> NDArray[np.float32]:
    bordered = np.pad(images, ((0, 0), (_BORDER, _BORDER), (_BORDER, _BORDER)))
    return np.stack([spline_filter(image, order=_ORDER, output=np.float32) for image in bordered])


def cut_out(shapes: DigitShapes, label: int, side: float, rotation: float, rng: np.random.Generator) -> Cutout:
    """Draw a digit of a class and cut it out.

    Args:
        shapes: Digits to draw from.
        label: The class.
        side: Side that the 8 × 8 grid is enlarged to, pixels; the object is about as high.
        rotation: Largest rotation either way, degrees.
        rng: Source of all draws.

    Returns:
        The object.
    """
    digits = shapes.by_class[label]
    digit = digits[rng.integers(len(digits))]
    angle = np.deg2rad(rng.uniform(-rotation, rotation))
    stretch, shear = np.exp(rng.uniform(-0.15, 0.15)), rng.uniform(-0.15, 0.15)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shape = np.array([[1.0, 0.0], [shear, stretch]])
    # From rows and columns of the output to those of the digit.
    matrix = np.linalg.inv(turn @ shape) * 8 / side
    canvas = int(np.ceil(side * 1.9))
    offset = (digit.shape[0] - 1) / 2 - matrix @ np.full(2, (canvas - 1) / 2)
    ink = affine_transform(digit, matrix, offset, (canvas, canvas), order=_ORDER, prefilter=False)  # (canvas, canvas)
    # The ink falls off over about one pixel of the digit; steeper where that is many pixels of the scene.
    opacity = np.clip((ink - _EDGE) * side / 8 + 0.5, 0, 1).astype(np.float32)
    rows, columns = np.flatnonzero((opacity > 0.5).any(axis=1)), np.flatnonzero((opacity > 0.5).any(axis=0))
    return Cutout(label, opacity[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
