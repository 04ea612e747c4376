"""Makes the dataset artifact of a source: verifies every image, draws a held-out split, counts what there is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline_lib.artifacts.dataset import SPLITS
from pipeline_lib.artifacts.dataset_writer import DatasetWriter
from pipeline_lib.base.errors import UserError
from pipeline_lib.base.progress import progress
from pipeline_lib.images.decoding import UndecodableImageError, decode_with_mode
from pipeline_lib.images.selection import choose_images, chosen_split
from pipeline_lib.images.sources.records import Record, Source
from pipeline_lib.images.threads import map_in_order

_LISTED = 20


class _Tally:
    """Counts what the metrics tell; widths and heights as counts, so that medians need no list of all images."""

    def __init__(self) -> None:
        self.images: Counter[str] = Counter()
        self.modes: Counter[str] = Counter()
        self.widths: Counter[int] = Counter()
        self.heights: Counter[int] = Counter()
        self.labelled = 0
        self.unreadable: list[str] = []
        self.unreadable_count = 0

    def add(self, split: str, record: Record, facts: tuple[int, int, str]) -> None:
        """Count a readable image."""
        width, height, mode = facts
        self.images[split] += 1
        self.widths[width] += 1
        self.heights[height] += 1
        self.modes[mode] += 1
        self.labelled += record.label is not None

    def add_unreadable(self, name: str) -> None:
        """Count an unreadable image and keep the first names."""
        self.unreadable_count += 1
        if len(self.unreadable) < _LISTED:
            self.unreadable.append(name)

    def metrics(self, source: Source) -> dict[str, Any]:
        """The metrics, see ``prepare_dataset``."""
        total = self.images.total()
        return {
            "images": total,
            **{f"images_{split}": self.images[split] for split in SPLITS if self.images[split]},
            "classes": None if source.class_names is None else len(source.class_names),
            "labelled_share": self.labelled / total,
            "unreadable": self.unreadable_count,
            "unreadable_paths": self.unreadable,
            "ignored_files": source.ignored_files,
            **_spread("width", self.widths),
            **_spread("height", self.heights),
            **{f"mode_{mode}": count for mode, count in sorted(self.modes.items())},
        }


def prepare_dataset(
    source: Source,
    out: Path,
    *,
    unreadable: Literal["skip", "stop"],
    val_fraction: float,
    limit_per_split: int | None,
    seed: int,
    workers: int,
    made_by: Mapping[str, Any],
) -> dict[str, Any]:
    """Write the dataset artifact of a source.

    Every image taken is decoded once. An id is an image's position in the source's order, counted before anything is
    left out, so that it stays the same when limits change. Labels do not decide anything.

    Args:
        source: Where images come from.
        out: Folder of the artifact.
        unreadable: ``skip`` leaves undecodable images out and lists them, ``stop`` ends at the first.
        val_fraction: Share of ``train`` drawn at random as ``val`` where the source has no ``val``, in [0, 1); 0 draws
            none. Without effect where it has one.
        limit_per_split: Largest number of images of each split, drawn at random before decoding; None for all.
        seed: Seed of both draws.
        workers: Threads that decode; 0: none. The artifact does not depend on it.
        made_by: Stage, parameters and seed, for ``meta.json``.

    Returns:
        Metrics, JSON values: ``images``, ``images_<split>``, ``classes`` (null where there are no names),
        ``labelled_share``, ``unreadable``, ``unreadable_paths`` (the first 20), ``ignored_files``, ``width_`` and
        ``height_`` ``min``, ``median``, ``max`` in pixels, and ``mode_<Pillow mode>`` counts.

    Raises:
        UserError: An image is undecodable and ``unreadable`` is ``stop``, no image of the train split is readable, or a
            parameter is out of range.
    """
    if unreadable not in ("skip", "stop"):
        raise UserError(f"data unreadable: got {unreadable!r}, allowed are skip, stop")
    choice = choose_images(source.counts, val_fraction, limit_per_split, seed)
    with DatasetWriter(out, source.class_names, source.root, made_by) as writer:
        tally = _write_readable(writer, source, choice, workers, skip=unreadable == "skip")
        if not tally.images["train"]:
            first = ", ".join(tally.unreadable[:3])
            raise UserError(f"no image of the train split can be decoded, {tally.unreadable_count} fail, first {first}")
    return tally.metrics(source)


def _write_readable(
    writer: DatasetWriter, source: Source, choice: Mapping[str, NDArray[np.int8]], workers: int, skip: bool
) -> _Tally:
    def inspect(item: tuple[int, str, Record]) -> tuple[int, int, str] | UndecodableImageError:
        return _inspect(item[2], source.root)

    tally = _Tally()
    inspected = map_in_order(inspect, chosen_split(source.records(), choice), workers)
    total = sum(int((chosen >= 0).sum()) for chosen in choice.values())
    for (id, split, record), facts in progress(inspected, "prepare", total=total, unit="image"):
        if not isinstance(facts, UndecodableImageError):
            tally.add(split, record, facts)
            writer.add(
                id, split, image=record.image, path=record.path, label=record.label, class_name=record.class_name
            )
        elif skip:
            tally.add_unreadable(_name(record))
        else:
            raise UserError(f"{facts}; mend or remove it, or set unreadable to skip") from facts
    return tally


def _inspect(record: Record, root: Path | None) -> tuple[int, int, str] | UndecodableImageError:
    """Width, height (upright) and mode of an image, or why it cannot be decoded."""
    image = record.image if record.image is not None else (root or Path()) / (record.path or "")
    try:
        decoded = decode_with_mode(image, _name(record) if record.image is not None else None)
    except UndecodableImageError as error:
        return error
    return (*decoded.pixels.size, decoded.mode)


def _name(record: Record) -> str:
    return record.path if record.path is not None else record.origin


def _spread(name: str, counts: Counter[int]) -> dict[str, int]:
    """Minimum, lower median and maximum of the counted values."""
    middle = (counts.total() - 1) // 2
    below = 0
    median = 0
    for value in sorted(counts):
        below += counts[value]
        if below > middle:
            median = value
            break
    return {f"{name}_min": min(counts), f"{name}_median": median, f"{name}_max": max(counts)}
