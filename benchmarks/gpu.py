"""What the project does on one GPU, measured in at most eight minutes: ``python -m benchmarks.gpu --out gpu.json``.

Every part runs in a process of its own, so that one that fails, hangs or runs out of memory leaves the others; the
file is written after every part. Nothing but this repository is read, and all inputs are generated. With
``--device cpu --tiny`` the same code runs anywhere in two minutes and measures nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from contextlib import nullcontext, suppress
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

PARTS = {
    "tests": (90, "benchmarks.gpu_parts.cuda_tests"),
    "knn": (140, "benchmarks.gpu_parts.neighbor_search"),
    "heads": (75, "benchmarks.gpu_parts.head_training"),
    "extract": (70, "benchmarks.gpu_parts.extraction"),
    "pretrain": (70, "benchmarks.gpu_parts.pretraining"),
    "self_train": (20, "benchmarks.gpu_parts.self_training"),
    "consensus": (15, "benchmarks.gpu_parts.consensus_methods"),
}
"""Share of the seconds and module of each part, in the order in which they run."""


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--parts", default=",".join(PARTS), help="names with commas between; default: %(default)s")
    parser.add_argument("--out", type=Path, help="JSON file of the figures")
    parser.add_argument("--seconds", type=float, default=480, help="for all parts together; default: %(default)s")
    parser.add_argument("--device", default="cuda", help="torch device; default: %(default)s")
    parser.add_argument("--tiny", action="store_true", help="sizes that try the code and measure nothing")
    parser.add_argument("--scratch", type=Path, help="folder for generated files (6 GB); default: the system's")
    parser.add_argument("--commit", help="commit that is recorded; default: what Git says")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    chosen = parser.parse_args(given)
    chosen.parts = chosen.parts.split(",")
    unknown = [name for name in chosen.parts if name not in PARTS]
    if unknown:
        parser.error(f"--parts: {', '.join(unknown)} not among {', '.join(PARTS)}")
    return chosen


class Child:
    """A process that imports what a part needs, then waits until it may start.

    Args:
        name: The part.
        chosen: The command line.
        scratch: Folder for files of all parts.
    """

    def __init__(self, name: str, chosen: argparse.Namespace, scratch: Path) -> None:
        self.name = name
        self._folder = scratch / name
        self._folder.mkdir()
        self._lines = scratch / f"{name}.lines"
        command = [sys.executable, "-m", "benchmarks.gpu", "--device", chosen.device]
        command += ["--tiny"] if chosen.tiny else []
        command += ["--child", name, str(self._folder), str(self._lines)]
        environment = os.environ | {"TMPDIR": str(self._folder)}
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
        for line in self._lines.read_text().splitlines() if self._lines.exists() else []:
            kept = json.loads(line)
            found["rows"] += [kept["row"]] if "row" in kept else []
            found |= {key: kept[key] for key in ("machine", "error") if key in kept}
        subprocess.run(["rm", "-rf", str(self._folder)], check=False)
        return found

    def end(self) -> None:
        """End the process and all that it started."""
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            return
        self._process.wait()


def run_child(chosen: argparse.Namespace) -> int:
    """Be the process of one part."""
    name, folder, lines = chosen.child
    try:
        module = import_module(PARTS[name][1])
        measuring = import_module("benchmarks.measuring")
        device = import_module("torch").device(chosen.device)
        deadline = sys.stdin.readline()
        if not deadline:
            return 1
        part = measuring.Part(name, device, chosen.tiny, Path(folder), float(deadline), Path(lines))
        part.keep({"machine": measuring.machine_facts(device)})
        module.run(part)
    except BaseException as error:
        traceback.print_exc()
        with Path(lines).open("a") as stream:
            told = f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"
            stream.write(json.dumps({"error": told}) + "\n")
        return 1
    return 0


def commit(given: str | None) -> str | None:
    """The commit that is measured; None where Git does not know."""
    if given:
        return given
    done = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return done.stdout.strip() or None


def run_parts(chosen: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """Run the chosen parts one after the other; the next one's imports are done meanwhile.

    Returns:
        What is written to the file.
    """
    shares = [PARTS[name][0] for name in chosen.parts]
    started = time.time()
    found: dict[str, Any] = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": commit(chosen.commit),
        "device": chosen.device,
        "tiny": chosen.tiny,
        "machine": None,
        "parts": {},
    }
    waiting: Child | None = Child(chosen.parts[0], chosen, scratch)
    current = waiting
    try:
        for number, name in enumerate(chosen.parts):
            current = waiting
            following = chosen.parts[number + 1 : number + 2]
            waiting = Child(following[0], chosen, scratch) if following else None
            # What a part leaves of its time goes to those after it.
            deadline = started + chosen.seconds * sum(shares[: number + 1]) / sum(shares)
            print(f"{name}: at most {deadline - time.time():.0f} s", flush=True)
            if current is None:
                raise RuntimeError(f"{name}: no process was started")
            result = current.run(deadline)
            found["machine"] = found["machine"] or result.pop("machine", None)
            result.pop("machine", None)
            found["parts"][name] = result
            print(f"{name}: {result['seconds']} s{'' if not result['error'] else ', ' + result['error']}", flush=True)
            write(chosen.out, found)
    finally:
        for child in (current, waiting):
            if child is not None:
                child.end()
    return found


def write(path: Path | None, found: dict[str, Any]) -> None:
    """Write the file, whole or not at all."""
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(found, indent=1) + "\n")
    partial.replace(path)


def main() -> int:
    """Run the parts; the exit status is 1 where one failed."""
    chosen = arguments()
    if chosen.child:
        return run_child(chosen)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(dir=chosen.scratch) as scratch:
        found = run_parts(chosen, Path(scratch))
    failed = [name for name, part in found["parts"].items() if part["error"]]
    print(f"failed: {', '.join(failed)}" if failed else "all parts done", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
