"""Time, memory and quality of the consensus methods on generated assignments with known classes.

    python -m benchmarks.consensus --images 1281167 --heads 50 --classes 1000

Every method runs in a process of its own and reads the assignments memory-mapped. Seconds include average NMI and the
agreement of the heads, not the generation; the peak of resident memory is the whole process', mapped pages included.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.planted import planted_ensemble
from pipeline_lib.base.contingency import average_nmi, contingency, matched_pairs
from pipeline_lib.base.errors import UserError
from pipeline_lib.ucls.consensus.ensemble import build_consensus
from pipeline_lib.ucls.consensus.hypergraph import find_hyperedges
from pipeline_lib.ucls.consensus.methods import METHODS
from pipeline_lib.ucls.consensus.settings import ConsensusSettings
from pipeline_lib.ucls.consensus.vote import vote

COLUMNS = ("method", "CPU s", "wall s", "peak GB", "ANMI", "accuracy", "clusters", "note")


def planted_accuracy(labels: NDArray[Any], planted: NDArray[Any]) -> float:
    """Share of images that are right when clusters are matched to the planted classes one to one."""
    table = contingency(labels, planted, int(labels.max()) + 1, int(planted.max()) + 1)
    rows, columns = matched_pairs(table)
    return float(table[rows, columns].sum() / len(labels))


def _peak_gigabytes() -> float:
    # Kilobytes on Linux, bytes on macOS.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)


def measure(folder: Path, method: str, classes: int, settings: ConsensusSettings, seed: int) -> dict[str, Any]:
    """Run one method in this process.

    Args:
        folder: Folder with ``assignments.npy`` and ``planted.npy``.
        method: Name of the method.
        classes: Number of classes.
        settings: Settings of the methods.
        seed: Seed.

    Returns:
        A row of the table.
    """
    assignments = np.load(folder / "assignments.npy", mmap_mode="r")
    cpu, wall = time.process_time(), time.perf_counter()
    try:
        result = build_consensus(assignments, classes, methods=[method], settings=settings, seed=seed)
    except UserError as error:
        return {"method": method, "note": str(error)}
    seconds = {"CPU s": time.process_time() - cpu, "wall s": time.perf_counter() - wall}
    found = result.methods[method]
    return {
        "method": method,
        **seconds,
        "peak GB": _peak_gigabytes(),
        "ANMI": found.anmi,
        "accuracy": planted_accuracy(result.labels, np.load(folder / "planted.npy")),
        "clusters": found.clusters_used,
        "note": found.note or "",
    }


def upper_bound_rows(folder: Path, classes: int, seed: int) -> list[dict[str, Any]]:
    """The planted classes themselves, and the vote of heads aligned to them."""
    assignments = np.load(folder / "assignments.npy", mmap_mode="r")
    planted = np.load(folder / "planted.npy")
    labels = vote(assignments, find_hyperedges(assignments), planted, classes, seed).labels
    return [
        {"method": "upper bound: planted classes", "ANMI": average_nmi(planted, assignments), "accuracy": 1.0},
        {
            "method": "upper bound: oracle vote",
            "ANMI": average_nmi(labels, assignments),
            "accuracy": planted_accuracy(labels, planted),
        },
    ]


def markdown_table(rows: list[dict[str, Any]]) -> str:
    """Rows as a Markdown table."""
    digits = {"CPU s": 1, "wall s": 1, "peak GB": 2, "ANMI": 4, "accuracy": 4}

    def cell(row: dict[str, Any], column: str) -> str:
        value = row.get(column)
        return f"{value:.{digits[column]}f}" if column in digits and value is not None else str(value or "–")

    lines = ["| " + " | ".join(COLUMNS) + " |", "| " + " | ".join("---" for _ in COLUMNS) + " |"]
    lines += ["| " + " | ".join(cell(row, column) for column in COLUMNS) + " |" for row in rows]
    return "\n".join(lines)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.consensus", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--heads", type=int, default=50)
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--flips", type=float, default=0.15, help="share of images a head puts anywhere")
    parser.add_argument("--confused", type=float, default=0.35, help="share of images with a second class in common")
    parser.add_argument("--reshaped", type=float, default=0.1, help="share of classes a head merges, and splits")
    parser.add_argument("--imbalance", type=float, default=1.0, help="largest class over smallest")
    parser.add_argument("--vertex-weight", choices=("unit", "size"), default="unit")
    parser.add_argument("--hgpa-pin-limit", type=int, default=ConsensusSettings().hgpa_pin_limit)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="file for the rows as JSON")
    parser.add_argument("--measure", metavar="FOLDER", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def _in_own_process(folder: Path, method: str) -> dict[str, Any]:
    command = [sys.executable, __file__, *sys.argv[1:], "--methods", method, "--measure", str(folder)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        return {"method": method, "note": f"the process ended with code {done.returncode}"}
    row: dict[str, Any] = json.loads(done.stdout)
    return row


def _generate(arguments: argparse.Namespace, folder: Path) -> None:
    assignments, planted = planted_ensemble(
        arguments.images,
        arguments.heads,
        arguments.classes,
        flips=arguments.flips,
        confused=arguments.confused,
        reshaped=arguments.reshaped,
        imbalance=arguments.imbalance,
        seed=arguments.seed,
    )
    np.save(folder / "assignments.npy", assignments)
    np.save(folder / "planted.npy", planted)


def main() -> None:
    """Generate the assignments, run every method in its own process, print the table."""
    arguments = _arguments()
    if arguments.measure:
        settings = ConsensusSettings(vertex_weight=arguments.vertex_weight, hgpa_pin_limit=arguments.hgpa_pin_limit)
        row = measure(arguments.measure, arguments.methods[0], arguments.classes, settings, arguments.seed)
        print(json.dumps(row))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _generate(arguments, folder)
        rows = [_in_own_process(folder, method) for method in arguments.methods]
        rows += upper_bound_rows(folder, arguments.classes, arguments.seed)
    print(markdown_table(rows))
    if arguments.out:
        asked = {key: value for key, value in vars(arguments).items() if key not in ("out", "measure")}
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps({"arguments": asked, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
