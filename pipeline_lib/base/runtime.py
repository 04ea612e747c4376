"""Device, precision, seeds and processes (Lightning Fabric)."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
import torch.distributed as dist
from lightning_fabric import Fabric, seed_everything

from pipeline_lib.base.errors import UserError
from pipeline_lib.base.machine import processes_here
from pipeline_lib.base.settings import DeviceName, Precision

DeviceType = Literal["cpu", "cuda", "mps"]

_DEVICE_SHARE = 0.6


def device_type(device: DeviceName) -> DeviceType:
    """Where a stage computes: for ``auto`` CUDA where there is one, else the CPU.

    Raises:
        UserError: ``device`` is ``cuda`` and there is none.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("device = cuda: torch finds no CUDA device here; use auto or cpu")
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return device


def start(device: DeviceName = "auto", precision: Precision = "float32", seed: int = 0) -> Fabric:
    """Start the engine of a stage: one process, or the processes that ``torchrun`` launched.

    Args:
        device: ``auto`` takes CUDA where there is one, else the CPU.
        precision: ``bfloat16`` means autocast around float32 parameters.
        seed: Seed of Python, NumPy and torch, the same in every process.

    Returns:
        A launched Fabric.

    Raises:
        UserError: ``device`` is ``cuda`` and there is none.
    """
    kind = device_type(device)
    # Fabric announces precision and seeds at every start; meta.json records them.
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)
    processes = processes_here()
    hosts = int(os.environ.get("WORLD_SIZE", "1")) // processes
    fabric = Fabric(
        accelerator=kind,
        devices=processes,
        num_nodes=hosts,
        strategy="ddp" if processes * hosts > 1 else "auto",
        precision="bf16-mixed" if precision == "bfloat16" else "32-true",
    )
    seed_everything(seed, verbose=False)
    fabric.launch()
    return fabric


@contextmanager
def fixed_shapes() -> Iterator[None]:
    """Let cuDNN measure its algorithms once for each shape, as pays where all batches are of one shape.

    Which algorithm is fastest may change from run to run, and with it the last bits of results on CUDA. Elsewhere
    nothing happens.
    """
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


def device_memory(device: torch.device, otherwise: int) -> int:
    """Bytes of a device that data may take: a part of what is free on CUDA, elsewhere ``otherwise``."""
    if device.type != "cuda":
        return otherwise
    free, _ = torch.cuda.mem_get_info(device)
    return int(_DEVICE_SHARE * free)


def has_float64(device: torch.device) -> bool:
    """Whether a device computes with 64 bits; Apple's GPUs do not."""
    return device.type != "mps"


def as_float64(values: torch.Tensor) -> torch.Tensor:
    """Values with 64 bits: on their device where it has them, else on the CPU."""
    return values.double() if has_float64(values.device) else values.cpu().double()


def sum_dtype(device: torch.device) -> torch.dtype:
    """Widest floating-point type of a device, for sums that stay on it over many steps."""
    return torch.float64 if has_float64(device) else torch.float32


def block_of_rank(count: int, rank: int, world_size: int) -> range:
    """Contiguous share of ``count`` rows that process ``rank`` works on; shares differ by one row at most."""
    return range(count * rank // world_size, count * (rank + 1) // world_size)


def is_distributed() -> bool:
    """Whether several processes work on this stage."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def is_first() -> bool:
    """Whether this is the process that writes: the only one, or the first of several."""
    return not is_distributed() or dist.get_rank() == 0


def all_reduce(tensor: torch.Tensor, operation: Literal["sum", "max"] = "sum") -> torch.Tensor:
    """Sum or maximum of ``tensor`` over all processes; the tensor itself with one process. Not differentiable."""
    if not is_distributed():
        return tensor
    result = tensor.detach().clone()
    dist.all_reduce(result, op=dist.ReduceOp.SUM if operation == "sum" else dist.ReduceOp.MAX)
    return result


def mean_over_processes(local_mean: torch.Tensor) -> torch.Tensor:
    """Mean of equally sized shares over all processes, with the gradient of the global mean under averaged gradients.

    The value is the global mean. The gradient passes to this process' share with factor one; averaging gradients over
    processes, as DDP does, then gives the gradient of the global mean.
    """
    if not is_distributed():
        return local_mean
    return local_mean + (all_reduce(local_mean) / dist.get_world_size() - local_mean).detach()
