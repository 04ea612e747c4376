"""What the project does on one GPU, measured in at most eight minutes: ``python -m benchmarks.gpu --out gpu.json``.

Nothing but this repository is read, and all inputs are generated. The file is written after every part, and a part
that fails leaves the others. With ``--device cpu --tiny`` the same code runs anywhere in two minutes and measures
nothing.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.processes import Job, commit, end_with_children, exit_status, run_jobs

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
    chosen = parser.parse_args(given)
    chosen.parts = chosen.parts.split(",")
    unknown = [name for name in chosen.parts if name not in PARTS]
    if unknown:
        parser.error(f"--parts: {', '.join(unknown)} not among {', '.join(PARTS)}")
    return chosen


def main() -> int:
    """Run the parts; the exit status is 1 where one failed."""
    chosen = arguments()
    end_with_children()
    shares = [PARTS[name][0] for name in chosen.parts]

    def deadline(number: int, started: float) -> float:
        # What a part leaves of its time goes to those after it.
        return float(started + chosen.seconds * sum(shares[: number + 1]) / sum(shares))

    with tempfile.TemporaryDirectory(dir=chosen.scratch) as scratch:
        jobs = [
            Job(name, PARTS[name][1], chosen.device, chosen.tiny, f"{scratch}/{name}", f"{scratch}/{name}.lines")
            for name in chosen.parts
        ]
        header = {"commit": commit(chosen.commit), "device": chosen.device, "tiny": chosen.tiny}
        found = run_jobs(jobs, deadline, header, chosen.out, shared=False)
    return exit_status(found)


if __name__ == "__main__":
    sys.exit(main())
