"""Settings of the machine: they decide no result, so neither DVC nor an interrupted run asks for them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import psutil
from pydantic import Field

from pipeline_lib.base.settings import Count, DeviceName, Natural, Settings

_CONTROL_GROUPS = (
    (Path("/sys/fs/cgroup"), "memory.max", "memory.current"),
    (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes", "memory.usage_in_bytes"),
)


class MachineSettings(Settings):
    """What the machine has to offer.

    Attributes:
        device: Where to compute; ``auto`` takes CUDA where there is one, else the CPU.
        workers: Processes or threads that decode images beside the training process; 0: none; ``auto``: one for every
            two cores.
        threads: Threads of the neighbour search, and of ONNX Runtime in ``extract``; ``auto``: one a core, shared by
            the processes on the machine.
        memory_gb: What of features or decoded images one process may keep in memory, GiB; more is read when needed;
            ``auto``: half of what is free, shared by the processes on the machine.
        checkpoint_seconds: Least time between two writes of the state from which an interrupted training goes on.
    """

    device: DeviceName
    workers: Literal["auto"] | Natural
    threads: Literal["auto"] | Count
    memory_gb: Literal["auto"] | Annotated[float, Field(ge=0)]
    checkpoint_seconds: Annotated[float, Field(ge=0)]

    @property
    def worker_count(self) -> int:
        """Number of workers."""
        return max(1, _cores() // 2) if self.workers == "auto" else self.workers

    @property
    def thread_count(self) -> int:
        """Number of threads."""
        return max(1, _cores() // processes_here()) if self.threads == "auto" else self.threads

    @property
    def memory_bytes(self) -> int:
        """Bytes that may be kept in memory."""
        if self.memory_gb == "auto":
            return _free_memory() // 2 // processes_here()
        return int(self.memory_gb * 2**30)


def processes_here() -> int:
    """Processes of a stage on this machine, which share its cores and its memory."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def _free_memory() -> int:
    """Bytes that this process may still take: of the machine, and of the control group where one has a limit."""
    free = int(psutil.virtual_memory().available)
    for folder, limit, used in _CONTROL_GROUPS:
        try:
            free = min(free, int((folder / limit).read_text()) - int((folder / used).read_text()))
        except (OSError, ValueError):  # no such group, or "max"
            continue
    return max(free, 0)


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
