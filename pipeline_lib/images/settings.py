"""Settings of the preparation of images."""

from __future__ import annotations

from typing import Literal

from pipeline_lib.base.settings import Count, Fraction, Seed, Settings


class PrepareSettings(Settings):
    """Reading and checking the images.

    Attributes:
        unreadable: What to do with an image that cannot be decoded: leave it out and list it (``skip``), or ``stop``.
        val_fraction: Share of the images that is held out where the data set has no split of its own.
        limit_per_split: Most images of a split, drawn evenly from the classes; null: all.
        seed: Seed of what is held out and of what the limit leaves. It is apart from those of the chains, so that
            experiments over seeds see the same images.
    """

    unreadable: Literal["skip", "stop"]
    val_fraction: Fraction
    limit_per_split: Count | None
    seed: Seed
