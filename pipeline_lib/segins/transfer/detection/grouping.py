"""Training images in groups of one orientation, as detectron2's AspectRatioGroupedDataset puts them together.

Images of a group are padded to a common size; groups are not padded to that of each other. A group is of the size that
a device has in the reference (16 images on 8 devices), whatever number of processes there is: what is padded enters
the statistics of batch normalisation, and must not depend on the number of processes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count, islice
from typing import Any

from torch import Tensor
from torch.utils.data import DataLoader

from pipeline_lib.base.errors import UserError
from pipeline_lib.base.runtime import block_of_rank
from pipeline_lib.segins.transfer.detection.samples import TrainingSamples
from pipeline_lib.segins.transfer.detection.targets import ImageGroup, Targets, padded

PADDED_TOGETHER = 2
"""Images of a group; 1 where the batch size is odd."""

_SEEDS_APART = 1_000_000_007


def orientation_groups(is_wide: Callable[[int], bool], size: int) -> Iterator[list[int]]:
    """Endless groups of samples, none of which mixes images that are wider than high with others.

    Samples wait in one of two buckets by the order of their positions; a bucket that is full is the next group. No
    sample is left out or comes twice, so that every image is seen as often as without groups.

    Args:
        is_wide: Whether the image of a position is wider than high.
        size: Samples a group.

    Yields:
        Positions, rising.
    """
    waiting: tuple[list[int], list[int]] = ([], [])
    for position in count():
        bucket = waiting[is_wide(position)]
        bucket.append(position)
        if len(bucket) == size:
            yield list(bucket)
            bucket.clear()


def group_size(batch_size: int, world_size: int) -> int:
    """Images that are padded together, of a batch that ``world_size`` processes share.

    Raises:
        UserError: The groups of a batch cannot be shared evenly.
    """
    size = PADDED_TOGETHER if batch_size % PADDED_TOGETHER == 0 else 1
    if batch_size % (size * world_size):
        raise UserError(
            f"detection.batch_size = {batch_size}: {world_size} processes share groups of {size}; "
            f"a multiple of {PADDED_TOGETHER * world_size} is needed"
        )
    return size


class _Groups:
    """Groups by the positions of their samples, for a loader."""

    def __init__(self, samples: TrainingSamples) -> None:
        self._samples = samples

    def __getitem__(self, step: list[tuple[int, list[int]]]) -> list[ImageGroup] | UserError:
        try:
            return [self._group(number, positions) for number, positions in step]
        except UserError as error:
            # Raised in a worker, it would arrive with the worker's traceback as its text.
            return error

    def _group(self, number: int, positions: list[int]) -> ImageGroup:
        drawn: list[tuple[Tensor, Targets]] = [self._samples[position] for position in positions]
        images, sizes = padded([image for image, _ in drawn])
        seed = self._samples.seed * _SEEDS_APART + number
        return ImageGroup(images, sizes, [targets for _, targets in drawn], seed)


def training_batches(
    samples: TrainingSamples,
    steps: range,
    batch_size: int,
    rank: int,
    world_size: int,
    workers: int,
    pinned: bool = False,
) -> Iterator[list[ImageGroup]]:
    """Batches of consecutive steps for one process; they depend on the samples' seed and the steps alone.

    Args:
        samples: The samples.
        steps: Numbers of the steps.
        batch_size: Images a step over all processes.
        rank: Number of this process.
        world_size: Number of processes.
        workers: Processes that decode.
        pinned: Put batches where a device can copy them from meanwhile.

    Yields:
        This process' groups of a step.

    Raises:
        UserError: The batch cannot be shared among the processes, or an image cannot be read.
    """
    size = group_size(batch_size, world_size)
    loader: DataLoader[Any] = DataLoader(
        _Groups(samples),  # type: ignore[arg-type]
        sampler=_own_groups(samples, steps, batch_size // size, size, rank, world_size),
        batch_size=None,
        collate_fn=_as_it_is,
        num_workers=workers,
        pin_memory=pinned,
    )
    for groups in loader:
        if isinstance(groups, UserError):
            raise groups
        yield groups


def _own_groups(
    samples: TrainingSamples, steps: range, groups: int, size: int, rank: int, world_size: int
) -> Iterator[list[tuple[int, list[int]]]]:
    """Number and positions of this process' groups by step; those before the first step are gone through again."""
    numbered = enumerate(orientation_groups(samples.is_wide, size))
    own = block_of_rank(groups, rank, world_size)
    for step in islice(iter(lambda: list(islice(numbered, groups)), []), steps.start, steps.stop):
        yield step[own.start : own.stop]


def _as_it_is(groups: list[ImageGroup] | UserError) -> list[ImageGroup] | UserError:
    return groups
