"""Part ``tests``: the tests that need a CUDA device."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from benchmarks.measuring import Part

_ROOT = Path(__file__).resolve().parents[2]
_COUNTED = ("passed", "failed", "skipped", "error", "errors")


def run(part: Part) -> None:
    """Run them; only files that hold some are collected, since others may need what is not installed.

    Raises:
        RuntimeError: A test failed, or none was found.
    """
    files = sorted(
        str(path.relative_to(_ROOT)) for path in (_ROOT / "tests").rglob("test_*.py") if "mark.cuda" in path.read_text()
    )
    command = [sys.executable, "-m", "pytest", "-v", "-m", "cuda", "-p", "no:cacheprovider", "--durations=5", *files]
    lines: list[str] = []
    with subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        for line in process.stdout or ():
            print(f"  {line.rstrip()}", flush=True)
            lines.append(line)
    last = "".join(lines[-1:])
    counts = {word: int(number) for number, word in re.findall(r"(\d+) (\w+)", last) if word in _COUNTED}
    part.row("pytest -m cuda", files=len(files), **counts)
    if process.returncode:
        raise RuntimeError(f"pytest ended with code {process.returncode}: {last.strip()}")
