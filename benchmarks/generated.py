"""Generated features with known classes, as artifacts of the size that is asked for: no images are needed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline_lib.artifacts.features import Features, open_features
from pipeline_lib.artifacts.features_writer import FeaturesWriter
from pipeline_lib.artifacts.neighbors import Neighbors, open_neighbors, write_neighbors
from pipeline_lib.base.row_blocks import row_blocks
from pipeline_lib.features.search_space import SearchSpace
from pipeline_lib.images.threads import map_in_order

BLOCK = "features"
MADE_BY = {"stage": "benchmark"}
_BLOCK_ROWS = 16384
_WRITERS = 8
_SAMPLED_QUERIES = 256
_SAMPLED_ROWS = 100_000


def planted_classes(count: int, classes: int, seed: int) -> NDArray[np.int64]:
    """Class of every row, (n,), drawn evenly."""
    return np.random.default_rng([seed, count]).integers(classes, size=count)


class GeneratedRows:
    """Gaussian clusters of different tightness around one centre a class, so that lengths of lists differ.

    A block of rows depends on the seed, its split and its place alone, and is made on ``device``.

    Args:
        columns: Columns d.
        classes: Number of classes.
        device: Where rows are drawn.
        seed: Seed.
    """

    def __init__(self, columns: int, classes: int, device: torch.device, seed: int = 0) -> None:
        self.classes = classes
        self.seed = seed
        self._columns = columns
        self._device = device
        self._centres = torch.randn(classes, columns, generator=torch.Generator().manual_seed(seed)).to(device)

    def labels(self, count: int) -> NDArray[np.int64]:
        """Class of every row of a split of ``count`` rows, (n,)."""
        return planted_classes(count, self.classes, self.seed)

    def rows(self, labels: NDArray[np.int64], number: int) -> Tensor:
        """Block ``number`` of a split: float32 (b, d) on the device for the classes of its rows (b,)."""
        generator = torch.Generator(self._device).manual_seed((self.seed + 1) * 1_000_003 + number)
        own = torch.from_numpy(labels).to(self._device)
        spread = torch.rand(len(own), 1, generator=generator, device=self._device) + 0.6
        noise = torch.randn(len(own), self._columns, generator=generator, device=self._device)
        return self._centres[own] + noise * spread


def write_generated(folder: Path, splits: Mapping[str, int], rows: GeneratedRows, columns: int) -> Features:
    """Write a features artifact in float16, as the stage ``extract`` does, block by block.

    Args:
        folder: Target folder.
        splits: Number of rows of each split.
        rows: What draws them.
        columns: Columns d.

    Returns:
        The artifact.
    """
    writer = FeaturesWriter(
        folder,
        splits=splits,
        blocks={BLOCK: (0, columns)},
        default_blocks=(BLOCK,),
        storage="float16",
        backbone={"name": "generated"},
        dataset_digest="generated",
        made_by=MADE_BY,
    )

    def blocks() -> Iterator[tuple[str, slice, NDArray[np.float16]]]:
        number = 0
        for split, count in splits.items():
            labels = rows.labels(count)
            for block in row_blocks(count, _BLOCK_ROWS):
                yield split, block, rows.rows(labels[block], number).half().cpu().numpy()
                number += 1

    def write(item: tuple[str, slice, NDArray[np.float16]]) -> None:
        split, block, values = item
        writer.write(split, np.arange(block.start, block.stop), values)

    with writer.opened(0, lambda value: value, lambda: None):
        for _ in map_in_order(write, blocks(), min(_WRITERS, os.cpu_count() or 1)):
            pass
    return open_features(folder)


def write_planted_lists(folder: Path, labels: NDArray[np.int64], length: int, seed: int = 0) -> Neighbors:
    """Write a neighbours artifact of equally long lists, drawn from each image's class: what a search would find.

    Args:
        folder: Target folder.
        labels: Class of every image, (n,); every class has at least two.
        length: Length of the lists.
        seed: Seed.

    Returns:
        The artifact.
    """
    generator = np.random.default_rng(seed)
    order = np.argsort(labels, kind="stable")
    sizes = np.bincount(labels)
    starts = np.cumsum(sizes) - sizes
    place = np.empty(len(labels), dtype=np.int64)
    place[order] = np.arange(len(labels)) - starts[labels[order]]
    similarity = np.linspace(0.9, 0.4, length, dtype=np.float16)
    settings = {"threshold": 0.4, "k_min": length, "k_max": length, "adaptive": False}
    with write_neighbors(folder, len(labels), settings, MADE_BY) as writer:
        for block in row_blocks(len(labels), _BLOCK_ROWS):
            own = labels[block]
            picked = (generator.random((len(own), length)) * (sizes[own][:, None] - 1)).astype(np.int64)
            picked += picked >= place[block][:, None]
            found = order[starts[own][:, None] + picked]
            writer.append(np.full(len(own), length), found.ravel(), np.tile(similarity, len(own)))
    return open_neighbors(folder)


def threshold_for(space: SearchSpace, mean_length: int, device: torch.device, seed: int = 0) -> float:
    """Similarity above which a row has ``mean_length`` others on average, estimated from a sample of pairs.

    Args:
        space: The vectors.
        mean_length: Mean number of neighbours; below the number of rows.
        device: Where products are computed.
        seed: Seed of the sample.
    """
    order = np.random.default_rng(seed).permutation(space.count)
    queries = np.sort(order[:_SAMPLED_QUERIES])
    base = np.sort(order[_SAMPLED_QUERIES : _SAMPLED_QUERIES + _SAMPLED_ROWS])
    kept = max(1, round(len(queries) * len(base) * mean_length / (space.count - 1)))
    asked = torch.from_numpy(space.rows(queries)).to(device)
    highest = torch.empty(0, device=device)
    for block in row_blocks(len(base), _BLOCK_ROWS):
        similarity = (asked @ torch.from_numpy(space.rows(base[block])).to(device).T).ravel()
        highest = torch.cat([highest, similarity]).topk(min(kept, len(highest) + len(similarity))).values
    return float(highest[-1])
