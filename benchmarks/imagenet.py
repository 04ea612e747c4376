"""What every stage from knn to evaluate takes at ImageNet's size: ``python -m benchmarks.imagenet``.

Features are generated. Every stage has a process and at most ten minutes of its own, with the thesis' settings for
ImageNet. A stage that does not fit is measured in part, and the rest is extrapolated: what its seconds grow with stands
in the table. What follows such a stage gets a planted artifact in place of what it would have written.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.processes import Job, commit, end_with_children, exit_status, run_jobs

PARTS = {
    "generate": "benchmarks.imagenet_parts.generation",
    "knn": "benchmarks.imagenet_parts.neighbors",
    "train_heads": "benchmarks.imagenet_parts.heads",
    "assign": "benchmarks.imagenet_parts.assignment",
    "consensus": "benchmarks.imagenet_parts.consensus",
    "self_train": "benchmarks.imagenet_parts.self_training",
    "evaluate": "benchmarks.imagenet_parts.evaluation",
}
COLUMNS = ("stage", "measured", "of the work", "whole stage", "grows with", "host GiB", "device GiB", "written GiB")


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.imagenet", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--images", type=int, default=1_281_167, help="training images; default: %(default)s")
    parser.add_argument("--held-out", type=int, default=50_000, help="images of val; default: %(default)s")
    parser.add_argument("--columns", type=int, default=2048, help="of the features; default: %(default)s")
    parser.add_argument("--classes", type=int, default=1000, help="default: %(default)s")
    parser.add_argument("--heads", type=int, default=50, help="default: %(default)s")
    parser.add_argument("--mean-length", type=int, default=200, help="of the neighbour lists; default: %(default)s")
    parser.add_argument("--seconds", type=float, default=600, help="for each stage; default: %(default)s")
    parser.add_argument("--device", default="cpu", help="torch device; default: %(default)s")
    parser.add_argument("--tiny", action="store_true", help="measurements as short as can be, to try the code")
    parser.add_argument("--out", type=Path, help="JSON file of the figures")
    parser.add_argument("--scratch", type=Path, help="folder for at most 12 GB of files; default: the system's")
    parser.add_argument("--commit", help="commit that is recorded; default: what Git says")
    return parser.parse_args(given)


def duration(seconds: float) -> str:
    """Seconds in the unit that reads best."""
    for unit, size in (("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def table(found: Mapping[str, Any]) -> str:
    """The stages as a Markdown table, with their sum."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "| " + " | ".join("---" for _ in COLUMNS) + " |"]
    total, extrapolated, missing = 0.0, False, []
    for name, part in found["parts"].items():
        rows = [row for row in part["rows"] if "measured_seconds" in row]
        if not rows:
            missing += [] if name == "generate" else [name]
            continue
        row = rows[0]
        total, extrapolated = total + row["seconds"], extrapolated or row["extrapolated"]
        cells = [
            name,
            duration(row["measured_seconds"]),
            f"{row['measured_share']:.3%}" if row["extrapolated"] else "all",
            ("about " if row["extrapolated"] else "") + duration(row["seconds"]),
            row["grows_with"],
            *(
                f"{row[key]:.2f}" if row.get(key) is not None else "–"
                for key in ("host_gib", "device_gib", "written_gib")
            ),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    told = f"sum: {'about ' if extrapolated else ''}{duration(total)}"
    return "\n".join([*lines, "", told + (f", without {', '.join(missing)}" if missing else "")])


def main() -> int:
    """Run the stages and print the table; the exit status is 1 where one failed."""
    chosen = arguments()
    end_with_children()
    options = {
        name: getattr(chosen, name) for name in ("images", "held_out", "columns", "classes", "heads", "mean_length")
    }
    with tempfile.TemporaryDirectory(dir=chosen.scratch) as scratch:
        jobs = [
            Job(name, module, chosen.device, chosen.tiny, f"{scratch}/run", f"{scratch}/{name}.lines", options)
            for name, module in PARTS.items()
        ]
        header = {"commit": commit(chosen.commit), "device": chosen.device, "tiny": chosen.tiny, **options}
        found = run_jobs(jobs, lambda *_: time.time() + chosen.seconds, header, chosen.out, shared=True)
    print(f"\n{options['images']} x {options['columns']}, {options['classes']} classes, {options['heads']} heads")
    print(table(found), flush=True)
    return exit_status(found)


if __name__ == "__main__":
    sys.exit(main())
