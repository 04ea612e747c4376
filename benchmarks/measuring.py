"""What the measurements of a part share: its device and time, its rows, clocks that wait for the device, and peaks."""

from __future__ import annotations

import gc
import json
import os
import platform
import resource
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch


@dataclass(frozen=True)
class Part:
    """One part of a benchmark, which runs in a process of its own.

    Attributes:
        name: Its name.
        device: Torch device that is measured.
        tiny: Whether sizes are such that a CPU is done in seconds; they measure nothing then.
        folder: Folder for files that the part makes; it is deleted after it.
        deadline: Time, as ``time.time`` tells it, at which the part is stopped.
        lines: File of the rows so far, one JSON object a line.
        options: Further options, of parts that have any.
    """

    name: str
    device: torch.device
    tiny: bool
    folder: Path
    deadline: float
    lines: Path
    options: Mapping[str, Any] = field(default_factory=dict)

    def left(self) -> float:
        """Seconds until the part is stopped."""
        return self.deadline - time.time()

    def row(self, what: str, **measures: Any) -> None:
        """Print a row and keep it, also for the case that the part is stopped after it.

        Args:
            what: What was measured, with its sizes.
            measures: Measures by name; the unit is the end of the name.
        """
        rounded = {key: _rounded(value) for key, value in measures.items()}
        print(f"  {what}: " + ", ".join(f"{key} {value}" for key, value in rounded.items()), flush=True)
        self.keep({"row": {"what": what, **rounded}})

    def keep(self, line: dict[str, Any]) -> None:
        """Append a line to the file."""
        with self.lines.open("a") as stream:
            stream.write(json.dumps(line) + "\n")

    def synchronise(self) -> None:
        """Wait until the device has done all it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def reset_peak(self) -> None:
        """Count the device's peak memory from here; memory that is no longer used goes back."""
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)

    def peaks(self) -> dict[str, float]:
        """Peak memory: of this process so far (``host_gib``), and on CUDA what torch held (``device_gib``)."""
        found = {"host_gib": peak_host_bytes() / 2**30}
        if self.device.type == "cuda":
            found["device_gib"] = torch.cuda.max_memory_reserved(self.device) / 2**30
        return found

    def seconds(self, work: Callable[[], Any]) -> float:
        """Seconds of one call, the device's work included."""
        self.synchronise()
        started = time.perf_counter()
        work()
        self.synchronise()
        return time.perf_counter() - started

    def seconds_a_call(self, work: Callable[[], Any], *, at_least: float, warm_up: int = 2) -> float:
        """Mean seconds of calls that together take ``at_least`` seconds (tiny: of two calls), after some that warm up.

        Args:
            work: What is measured.
            at_least: Seconds.
            warm_up: Calls before.
        """
        for _ in range(1 if self.tiny else warm_up):
            work()
        self.synchronise()
        calls, started = 0, time.perf_counter()
        while calls < 2 or (not self.tiny and time.perf_counter() - started < at_least):
            work()
            # Calls only put work into a queue: without waiting, thousands would be in it after ``at_least`` seconds.
            self.synchronise()
            calls += 1
        return (time.perf_counter() - started) / calls


def peak_host_bytes() -> int:
    """Peak of this process' resident memory, mapped pages included."""
    # Kilobytes on Linux, bytes on macOS.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def machine_facts(device: torch.device) -> dict[str, Any]:
    """What the numbers of a machine depend on: processor, card, versions."""
    facts: dict[str, Any] = {
        "processor": _processor(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
    }
    shared = Path("/dev/shm")
    if shared.is_dir():
        # Workers hand their batches over in it.
        facts["shared_memory_gib"] = round(shutil.disk_usage(shared).total / 2**30, 1)
    if device.type == "cuda":
        card = torch.cuda.get_device_properties(device)
        facts |= {
            "card": card.name,
            "card_gib": round(card.total_memory / 2**30, 1),
            "capability": f"{card.major}.{card.minor}",
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
        }
    return facts


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.is_file():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _rounded(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) else value
