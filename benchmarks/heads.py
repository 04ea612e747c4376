"""Head training on a CPU beside the reference's loop: samples a CPU-second of both, and their ratio.

    python -m benchmarks.heads --heads 50 --columns 64 768 2048 --threads 1 2

The loops take steps in turn on the same pairs, so that other load on the machine meets all alike; a step's seconds are
those of the process on all of its cores, and the rate is that of the fastest step. On a shared machine set
OMP_WAIT_POLICY=PASSIVE for more than one thread: threads that spin while they wait count as work. With TEMI's settings
both loops compute the same losses: the tests hold both to the trajectory of TEMI's own code. The memory that the
project's loop keeps in the process (``base/freed_memory.py``) serves the reference's too. Four trainings are in memory
at once: 5 GB at 50 heads and 2,048 columns.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.gpu_parts.head_training import TEMI, head_settings
from benchmarks.measuring import machine_facts
from benchmarks.reference_heads import ReferenceHead, ReferenceTrainer
from pipeline_lib.base import runtime
from pipeline_lib.features.blocks import ArrayFeatures
from pipeline_lib.ucls.heads.feature_rows import FeatureRows
from pipeline_lib.ucls.heads.model import HeadShape
from pipeline_lib.ucls.heads.pairs import PairSampler
from pipeline_lib.ucls.heads.settings import HeadSettings
from pipeline_lib.ucls.heads.training import HeadTrainer
from stages._context import one_line_errors

TARGET = 1.5
LOSSES: dict[str, dict[str, Any]] = {"UCLS one-way": {}, "UCLS two-way": {"symmetric": True}, "TEMI": TEMI}
REFERENCE = "reference"
_BATCHES = 4

Step = Callable[[int, Tensor, Tensor], Tensor]
"""One iteration from its index and features of images (B, D) and neighbours (B, 1, D): the loss of every head."""


def project_step(settings: HeadSettings, values: Tensor, classes: int) -> Step:
    """The project's iteration with the training rows ``values`` (n, D)."""
    fabric = runtime.start("cpu", "float32", 0)
    count, columns = values.shape
    sampler = PairSampler(count, settings.batch_size, 1, lambda rows, _: rows[:, None], 0)
    rows = FeatureRows(ArrayFeatures(values.numpy()), fabric.device, values.nbytes)
    return HeadTrainer(fabric, settings, HeadShape.of(settings, columns, count, classes), sampler, rows).step


def reference_step(settings: HeadSettings, columns: int, classes: int) -> Step:
    """The reference's iteration."""
    heads = [ReferenceHead(columns, settings.hidden, settings.bottleneck, classes) for _ in range(settings.heads)]
    trainer = ReferenceTrainer(heads, settings.learning_rate, bfloat16=settings.precision == "bfloat16")
    return lambda _, images, neighbors: trainer.step(images, neighbors[:, 0])


def seconds_by_loop(settings: HeadSettings, columns: int, classes: int, steps: int) -> dict[str, list[float]]:
    """CPU-seconds of the steps of every loop.

    Args:
        settings: Settings of the heads.
        columns: Columns D of the features.
        classes: Number of classes K.
        steps: Steps that are measured, after one that warms up.
    """
    batch = settings.batch_size
    values = torch.randn(_BATCHES * batch, columns, generator=torch.Generator().manual_seed(0))
    loops = {
        name: project_step(settings.model_copy(update=changes), values, classes) for name, changes in LOSSES.items()
    }
    loops[REFERENCE] = reference_step(settings, columns, classes)
    generator = np.random.default_rng(0)
    found: dict[str, list[float]] = {name: [] for name in loops}
    for iteration in range(1 + steps):
        images, neighbors = (values[generator.integers(len(values), size=batch)] for _ in range(2))
        for name, step in loops.items():
            started = time.process_time()
            step(iteration, images, neighbors[:, None])
            found[name].append(time.process_time() - started)
    return {name: seconds[1:] for name, seconds in found.items()}


def rows_of(settings: HeadSettings, columns: int, classes: int, threads: int, steps: int) -> list[dict[str, Any]]:
    """A row of the table for each loop at one size."""
    torch.set_num_threads(threads)
    seconds = {name: min(found) for name, found in seconds_by_loop(settings, columns, classes, steps).items()}
    size = {"heads": settings.heads, "columns": columns, "classes": classes, "threads": threads}
    return [
        size
        | {
            "loop": name,
            "samples_a_cpu_second": settings.batch_size / own,
            "ratio": seconds[REFERENCE] / own,
        }
        for name, own in seconds.items()
    ]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.heads", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--heads", type=int, nargs="+", default=[10, 50])
    parser.add_argument("--columns", type=int, nargs="+", default=[64, 768, 2048])
    parser.add_argument("--classes", type=int, nargs="+", default=[100])
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--out", type=Path, help="file for the rows as JSON")
    return parser.parse_args()


def main() -> None:
    """Print a table of all sizes."""
    chosen = _arguments()
    rows: list[dict[str, Any]] = []
    print(f"batch {chosen.batch}, {chosen.precision}, hidden 512, bottleneck 256; target {TARGET}")
    print(f"{'H':>3}{'D':>6}{'K':>6}{'threads':>9}  {'loop':<14}{'samples a CPU-second':>21}{'ratio':>8}")
    for size in product(chosen.heads, chosen.columns, chosen.classes, chosen.threads):
        heads, columns, classes, threads = size
        settings = head_settings(heads, chosen.batch, chosen.precision)
        for row in rows_of(settings, columns, classes, threads, chosen.steps):
            rows.append(row)
            print(
                f"{heads:>3}{columns:>6}{classes:>6}{threads:>9}  {row['loop']:<14}"
                f"{row['samples_a_cpu_second']:>21.0f}{row['ratio']:>8.2f}",
                flush=True,
            )
    if chosen.out:
        facts = machine_facts(torch.device("cpu"))
        chosen.out.write_text(json.dumps({"machine": facts, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    with one_line_errors():
        main()
