"""Runs the parts of a benchmark in order, each in a process of its own that is stopped when its time is over.

A part that fails, hangs or runs out of memory leaves the others; what it had measured until then is kept.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Job:
    """What the process of a part is told.

    Attributes:
        name: The part.
        module: Module whose ``run`` gets a ``measuring.Part``.
        device: Torch device.
        tiny: Whether sizes only try the code.
        folder: Folder for its files.
        lines: File of its rows.
        options: Further options of the part.
    """

    name: str
    module: str
    device: str
    tiny: bool
    folder: str
    lines: str
    options: Mapping[str, Any] = field(default_factory=dict)


class Child:
    """A process that imports what a part needs, then waits until it may start.

    Args:
        job: What it is told.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        Path(job.folder).mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "benchmarks.processes", json.dumps(asdict(job))]
        environment = os.environ | {"TMPDIR": job.folder}
        # A group of its own, so that workers that a stopped part had started end with it.
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, env=environment, start_new_session=True)

    def run(self, deadline: float) -> dict[str, Any]:
        """Let it start and wait until it ends, or stop it at the deadline (of ``time.time``).

        Returns:
            ``seconds``, ``rows``, ``error`` (None where there was none) and ``machine``.
        """
        started = time.time()
        # One whose imports failed has ended already; its code tells.
        with suppress(BrokenPipeError), self._process.stdin or nullcontext() as stream:
            if stream is not None:
                stream.write(f"{deadline}\n".encode())
        error = None
        try:
            code = self._process.wait(max(1.0, deadline - started))
            error = f"the process ended with code {code}" if code else None
        except subprocess.TimeoutExpired:
            error = f"stopped after {time.time() - started:.0f} s"
        finally:
            self.end()
        found: dict[str, Any] = {"seconds": round(time.time() - started, 1), "error": error, "rows": []}
        lines = Path(self._job.lines)
        for line in lines.read_text().splitlines() if lines.exists() else []:
            kept = json.loads(line)
            found["rows"] += [kept["row"]] if "row" in kept else []
            found |= {key: kept[key] for key in ("machine", "error") if key in kept}
        return found

    def end(self) -> None:
        """End the process and all that it started."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def run_jobs(
    jobs: Sequence[Job],
    deadlines: Callable[[int, float], float],
    header: Mapping[str, Any],
    out: Path | None,
    shared: bool,
) -> dict[str, Any]:
    """Run jobs in order; the next one's imports are done meanwhile, and the file is written after each.

    Args:
        jobs: The jobs.
        deadlines: From a job's number and the time when all began to its deadline (``time.time``).
        header: What the file begins with.
        out: The file; None: none is written.
        shared: Whether jobs share their folder, which then stays; otherwise each one's is deleted after it.

    Returns:
        What is written: the header, ``machine`` and by part ``seconds``, ``error`` and ``rows``.
    """
    started = time.time()
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    found: dict[str, Any] = {"date": now, **header, "machine": None, "parts": {}}
    children = [Child(jobs[0])]
    try:
        for number, job in enumerate(jobs):
            children += [Child(jobs[number + 1])] if number + 1 < len(jobs) else []
            deadline = deadlines(number, started)
            print(f"{job.name}: at most {deadline - time.time():.0f} s", flush=True)
            result = children[number].run(deadline)
            machine = result.pop("machine", None)
            found["machine"] = found["machine"] or machine
            found["parts"][job.name] = result
            print(f"{job.name}: {result['seconds']} s{', ' + result['error'] if result['error'] else ''}", flush=True)
            if not shared:
                shutil.rmtree(job.folder, ignore_errors=True)
            write(out, found)
    finally:
        for child in children:
            child.end()
    return found


def write(path: Path | None, found: Mapping[str, Any]) -> None:
    """Write a file of figures, whole or not at all."""
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(found, indent=1) + "\n")
    partial.replace(path)


def end_with_children() -> None:
    """Let a request to end (SIGTERM) end the children too, instead of leaving them behind."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def commit(given: str | None) -> str | None:
    """The commit that is measured; None where Git does not know."""
    if given:
        return given
    done = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return done.stdout.strip() or None


def exit_status(found: Mapping[str, Any]) -> int:
    """Say which parts failed; 1 where one did."""
    failed = [name for name, part in found["parts"].items() if part["error"]]
    print(f"failed: {', '.join(failed)}" if failed else "all parts done", flush=True)
    return 1 if failed else 0


def run_child(job: Job) -> int:
    """Be the process of one part: import, wait for the deadline on standard input, run."""
    try:
        module = import_module(job.module)
        measuring = import_module("benchmarks.measuring")
        device = import_module("torch").device(job.device)
        deadline = sys.stdin.readline()
        if not deadline:
            return 1
        folder, lines = Path(job.folder), Path(job.lines)
        part = measuring.Part(job.name, device, job.tiny, folder, float(deadline), lines, job.options)
        part.keep({"machine": measuring.machine_facts(device)})
        module.run(part)
    except BaseException as error:
        traceback.print_exc()
        with Path(job.lines).open("a") as stream:
            told = f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"
            stream.write(json.dumps({"error": told}) + "\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(run_child(Job(**json.loads(sys.argv[1]))))
