"""Settings of the machine: they decide no result, so neither DVC nor an interrupted run asks for them."""

from __future__ import annotations

import os
from typing import Annotated, Literal

from pydantic import Field

from pipeline_lib.base.settings import Count, DeviceName, Natural, Settings


class MachineSettings(Settings):
    """What the machine has to offer.

    Attributes:
        device: Where to compute; ``auto`` takes CUDA where there is one, else the CPU.
        workers: Processes or threads that decode images beside the training process; 0: none; ``auto``: one for every
            two cores.
        threads: Threads of the neighbour search; ``auto``: one a core.
        memory_gb: What of features or decoded images one process may keep in memory, GiB; more is read when needed.
        checkpoint_seconds: Least time between two writes of the state from which an interrupted training goes on.
    """

    device: DeviceName
    workers: Literal["auto"] | Natural
    threads: Literal["auto"] | Count
    memory_gb: Annotated[float, Field(ge=0)]
    checkpoint_seconds: Annotated[float, Field(ge=0)]

    @property
    def worker_count(self) -> int:
        """Number of workers."""
        return max(1, _cores() // 2) if self.workers == "auto" else self.workers

    @property
    def thread_count(self) -> int:
        """Number of threads."""
        return _cores() if self.threads == "auto" else self.threads

    @property
    def memory_bytes(self) -> int:
        """Bytes that may be kept in memory."""
        return int(self.memory_gb * 2**30)


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
