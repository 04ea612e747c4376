"""Which images of a source are taken, and into which split: drawn at random, without looking at labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from pipeline_lib.artifacts.dataset import SPLITS
from pipeline_lib.base.errors import UserError
from pipeline_lib.images.sources.records import Record

_LEFT_OUT = -1


def choose_images(
    counts: Mapping[str, int], val_fraction: float, limit_per_split: int | None, seed: int
) -> dict[str, NDArray[np.int8]]:
    """Draw the held-out split where the source has none, then the images that a limit keeps.

    Args:
        counts: Images of each split of the source.
        val_fraction: Share of ``train`` drawn as ``val`` where there is no ``val``, in [0, 1); one image at least where
            it is not 0 and one at least stays.
        limit_per_split: Largest number of images of each split, or None.
        seed: Seed of the draws.

    Returns:
        By split of the source: int8 (n,), the position in ``SPLITS`` of the split each image goes to, −1 where it is
        left out.

    Raises:
        UserError: ``val_fraction`` or ``limit_per_split`` is out of range.
    """
    if not 0 <= val_fraction < 1:
        raise UserError(f"data val_fraction: got {val_fraction}, allowed are values from 0 to below 1")
    if limit_per_split is not None and limit_per_split < 1:
        raise UserError(f"data limit_per_split: got {limit_per_split}, allowed are null and whole numbers from 1")
    choice = {split: np.full(count, SPLITS.index(split), dtype=np.int8) for split, count in counts.items()}
    if "val" not in counts and val_fraction:
        train = choice["train"]
        held_out = min(max(round(len(train) * val_fraction), 1), len(train) - 1)
        train[np.random.default_rng([seed, 0]).permutation(len(train))[:held_out]] = SPLITS.index("val")
    if limit_per_split is not None:
        rng = np.random.default_rng([seed, 1])
        for chosen in choice.values():
            for split in np.unique(chosen):
                members = np.flatnonzero(chosen == split)
                chosen[rng.permutation(members)[limit_per_split:]] = _LEFT_OUT
    return choice


def chosen_split(
    records: Iterable[Record], choice: Mapping[str, NDArray[np.int8]]
) -> Iterator[tuple[int, str, Record]]:
    """The records taken.

    Args:
        records: All records of the source in its order.
        choice: As ``choose_images`` gives it.

    Yields:
        Id (position in the source's order), split that the image goes to, record.

    Raises:
        UserError: There are more records than were counted.
    """
    position = dict.fromkeys(choice, 0)
    for id, record in enumerate(records):
        row = position.get(record.split, 0)
        if record.split not in choice or row >= len(choice[record.split]):
            raise UserError(f"{record.path or record.origin}: came while the data set was read; run the stage again")
        position[record.split] = row + 1
        target = int(choice[record.split][row])
        if target != _LEFT_OUT:
            yield id, SPLITS[target], record
