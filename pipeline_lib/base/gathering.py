"""What the processes of a stage give each other besides sums: rows, objects, and what the first one read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from pipeline_lib.base.runtime import is_distributed

T = TypeVar("T")
Item = TypeVar("Item")
_object_groups: dict[int, Any] = {}


def gathered_shares(local: Tensor) -> Tensor:
    """Rows of all processes in the order of their ranks, of which each has as many: (N, ...) → (W·N, ...).

    Without gradient, and nothing waits for it; ``local`` itself with one process.
    """
    if not is_distributed():
        return local
    parts = [torch.empty_like(local) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, local.detach().contiguous())
    return torch.cat(parts)


def gathered_rows(local: Tensor) -> Tensor:
    """Rows of all processes in the order of their ranks; processes may have different numbers of them.

    Args:
        local: This process' rows, (n, ...), n may be 0; on a device that the processes can talk from.

    Returns:
        All rows, on the same device and without gradient; ``local`` itself with one process.
    """
    if not is_distributed():
        return local
    own = torch.tensor([len(local)], device=local.device)
    counts = [torch.empty_like(own) for _ in range(dist.get_world_size())]
    dist.all_gather(counts, own)
    lengths = [int(count) for count in counts]
    padded = local.new_zeros((max(lengths), *local.shape[1:]))
    padded[: len(local)] = local.detach()
    parts = [torch.empty_like(padded) for _ in lengths]
    dist.all_gather(parts, padded)
    return torch.cat([part[:length] for part, length in zip(parts, lengths, strict=True)])


def gathered_objects(local: T) -> list[T]:
    """One value of every process, in the order of their ranks.

    Args:
        local: This process' value; it can be pickled.

    Returns:
        On the first process the values of all; on the others an empty list.
    """
    if not is_distributed():
        return [local]
    first = dist.get_rank() == 0
    values: list[Any] | None = [None] * dist.get_world_size() if first else None
    dist.gather_object(local, values, dst=0, group=_object_group())
    return values or []


def spread(function: Callable[[Item], T], items: Sequence[Item]) -> Iterator[T]:
    """Results in the order of the items, each computed by one of the processes.

    Args:
        function: Computes a result, which can be pickled.
        items: What there is to compute, the same in every process.

    Yields:
        On the first process the results of all items; on the others nothing, once all are computed. Every process must
        walk to the end.
    """
    processes = dist.get_world_size() if is_distributed() else 1
    rank = dist.get_rank() if is_distributed() else 0
    for start in range(0, len(items), processes):
        own = start + rank
        results: list[Any] = gathered_objects(function(items[own]) if own < len(items) else None)
        yield from results[: len(items) - start]


def from_first(value: T) -> T:
    """The value of the first process, which all processes get; those that the others pass are not looked at."""
    if not is_distributed():
        return value
    values: list[Any] = [value]
    dist.broadcast_object_list(values, src=0, group=_object_group())
    received: T = values[0]
    return received


def _object_group() -> Any:
    """A group that sends from the CPU: objects may be larger than what a device has to spare."""
    world = id(dist.group.WORLD)
    if world not in _object_groups:
        _object_groups.clear()
        _object_groups[world] = dist.new_group(backend="gloo")
    return _object_groups[world]
