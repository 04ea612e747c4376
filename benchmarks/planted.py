"""Ensembles with known classes, for measurements and tests: heads that err in the ways that real ones do."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_LIKELIEST_SECOND_CLASS = 0.7


def class_shares(classes: int, imbalance: float) -> NDArray[np.float64]:
    """Shares of the classes, geometric from the largest to the smallest, float64 (classes,); they sum to 1.

    Args:
        classes: Number of classes.
        imbalance: Largest share over smallest.
    """
    shares = np.power(imbalance, -np.linspace(0.0, 1.0, classes), dtype=np.float64)
    return np.asarray(shares / shares.sum())


def _reshape(labels: NDArray[np.int32], classes: int, count: int, generator: np.random.Generator) -> None:
    """Merge ``count`` pairs of classes and use the freed ids for halves of ``count`` other classes."""
    chosen = generator.permutation(classes)[: 3 * count].reshape(-1, 3)
    target = np.arange(classes, dtype=np.int32)
    half_of = np.arange(classes, dtype=np.int32)
    target[chosen[:, 1]] = chosen[:, 0]
    half_of[chosen[:, 2]] = chosen[:, 1]
    moved = half_of[labels]
    split = (generator.random(len(labels), dtype=np.float32) < 0.5) & (moved != labels)
    labels[:] = np.where(split, moved, target[labels])


def planted_ensemble(
    images: int,
    heads: int,
    classes: int,
    *,
    flips: float = 0.15,
    confused: float = 0.0,
    reshaped: float = 0.1,
    imbalance: float = 1.0,
    seed: int = 0,
) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    """Planted classes and what each head makes of them.

    Args:
        images: Number of images n.
        heads: Number of heads H.
        classes: Number of classes k.
        flips: Share of images that a head puts anywhere.
        confused: Share of images with a second class that every head prefers, each with the same probability,
            drawn once for the image from 0 to 0.7: errors that heads have in common.
        reshaped: Share of classes that a head merges into another one, and as many that it splits in two.
        imbalance: Largest class over smallest.
        seed: Seed.

    Returns:
        Assignments int16 (H, n), each head with its own numbering, and the planted classes int16 (n,).
    """
    generator = np.random.default_rng(seed)
    counts = np.diff(np.round(np.concatenate([[0.0], np.cumsum(class_shares(classes, imbalance))]) * images))
    planted = generator.permutation(np.repeat(np.arange(classes, dtype=np.int32), counts.astype(np.int64)))
    second = generator.integers(classes, size=images, dtype=np.int32)
    preference = generator.random(images, dtype=np.float32) * _LIKELIEST_SECOND_CLASS
    preference[generator.random(images, dtype=np.float32) >= confused] = 0
    assignments = np.empty((heads, images), dtype=np.int16)
    for head in range(heads):
        labels = np.where(generator.random(images, dtype=np.float32) < preference, second, planted)
        _reshape(labels, classes, min(round(reshaped * classes), classes // 3), generator)
        flipped = np.flatnonzero(generator.random(images, dtype=np.float32) < flips)
        labels[flipped] = generator.integers(classes, size=len(flipped), dtype=np.int32)
        assignments[head] = generator.permutation(classes)[labels]
    return assignments, planted.astype(np.int16)
