"""Cost of the SegIns branch: step times of SegIns and of its baseline, side by side.

``python -m benchmarks.segins_step`` measures SimSiam and MoCo-V2, with two crops and with multi-crop. Baseline and
SegIns take steps in turn, so that other load on the machine meets both alike; the ratio is that of the fastest steps.
The thesis says that SegIns took about 1.3 times as long as the baseline; at most 1.10 is aimed at.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from pipeline_lib.artifacts.dataset import Dataset, open_dataset
from pipeline_lib.artifacts.dataset_writer import DatasetWriter
from pipeline_lib.artifacts.masks import Masks, open_masks, write_masks
from pipeline_lib.base import runtime
from pipeline_lib.base.precision import taken_precision
from pipeline_lib.base.progress import progress
from pipeline_lib.images.decoding import decode
from pipeline_lib.params.params import Params, load_params
from pipeline_lib.segins.pretraining.methods import METHODS, MocoSettings
from pipeline_lib.segins.pretraining.run import build_pretrainer
from pipeline_lib.segins.pretraining.training import Pretrainer
from stages._context import one_line_errors

TARGET = 1.10
_MADE_BY = {"stage": "benchmark"}


@dataclass(frozen=True)
class StepTimes:
    """Seconds of the measured steps.

    Attributes:
        baseline: Steps of the baseline.
        segins: Steps of SegIns.
        waited: Share of SegIns' time that was spent waiting for views.
    """

    baseline: list[float]
    segins: list[float]
    waited: float

    @property
    def ratio(self) -> float:
        """Fastest step of SegIns over that of the baseline."""
        return min(self.segins) / min(self.baseline)


def random_images(folder: Path, count: int, side: int) -> tuple[Dataset, Masks]:
    """Images of smooth noise as JPEG, each with a rectangle as its mask."""
    rng = np.random.default_rng(0)
    with DatasetWriter(folder / "images", None, None, _MADE_BY) as writer:
        for number in range(count):
            coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
            buffer = io.BytesIO()
            coarse.resize((side, side), Image.Resampling.BICUBIC).save(buffer, format="JPEG", quality=90)
            writer.add(number, "train", image=buffer.getvalue())
    dataset = open_dataset(folder / "images")
    mask = np.zeros((side, side), dtype=bool)
    mask[side // 4 : side // 2, side // 4 : 3 * side // 4] = True
    write_masks(folder / "masks", [mask] * count, dataset, source="centre", threshold=0.5, made_by=_MADE_BY)
    return dataset, open_masks(folder / "masks")


class Runner:
    """Takes single steps of a pretraining.

    Args:
        trainer: The pretraining.
    """

    def __init__(self, trainer: Pretrainer) -> None:
        self._steps = trainer.steps()
        self._device = trainer.fabric.device

    def step(self) -> tuple[float, float]:
        """Seconds of one step, and those of it that were spent waiting for views."""
        self._finish()
        started = time.perf_counter()
        waited = next(self._steps)
        self._finish()
        return time.perf_counter() - started, waited

    def _finish(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize()


def measured(
    params: Params, method: str, dataset: Dataset, masks: Masks, changes: dict[str, Any], warm_up: int, steps: int
) -> StepTimes:
    """Step times of one method.

    Args:
        params: Settings of method, branch and, but for ``changes``, pretraining.
        method: Name of the method.
        dataset: Images.
        masks: Their masks.
        changes: Changes of the settings of pretraining.
        warm_up: Steps before those that are measured.
        steps: Measured steps.

    Returns:
        The times.
    """
    settings, machine, seed = params.pretrain.model_copy(update=changes), params.machine, params.segins_suite.seed
    memory, workers = machine.memory_bytes, machine.worker_count
    own = params.method_settings(method)
    if isinstance(own, MocoSettings):
        own = own.model_copy(update={"queue": settings.batch_size * 16})
    precision = taken_precision(settings.precision, runtime.device_type(machine.device))
    fabric = runtime.start(machine.device, precision, seed)
    baseline = Runner(
        build_pretrainer(fabric, settings, method, own, None, dataset, None, decode, seed, memory, workers)
    )
    segins = Runner(
        build_pretrainer(fabric, settings, method, own, params.segins, dataset, masks, decode, seed, memory, workers)
    )
    times: list[tuple[float, float, float]] = []
    for _ in progress(range(warm_up + steps), method, unit="step"):
        plain, _ = baseline.step()
        extended, waited = segins.step()
        times.append((plain, extended, waited))
    kept = times[warm_up:]
    total = sum(extended for _, extended, _ in kept)
    return StepTimes(
        [plain for plain, _, _ in kept],
        [extended for _, extended, _ in kept],
        sum(waited for _, _, waited in kept) / total,
    )


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.segins_step", description=__doc__.split("\n")[0])
    parser.add_argument("--architecture", default=None, help="default: that of params.yaml")
    parser.add_argument("--batch-size", type=int, default=None, help="default: that of params.yaml")
    parser.add_argument("--global-size", type=int, default=None, help="pixels; default: that of params.yaml")
    parser.add_argument("--local-size", type=int, default=None, help="pixels; default: that of params.yaml")
    parser.add_argument("--local-crops", type=int, default=4, help="of multi-crop")
    parser.add_argument("--precision", choices=["auto", "float32", "bfloat16"], default=None)
    parser.add_argument("--workers", type=int, default=None, help="processes that decode and crop")
    parser.add_argument("--in-memory-gb", type=float, default=None, help="0: every image is decoded at every use")
    parser.add_argument("--image-side", type=int, default=None, help="side of the images; default: the global crops'")
    parser.add_argument("--warm-up", type=int, default=3)
    parser.add_argument("--steps", type=int, default=15)
    return parser.parse_args()


def main() -> None:
    """Print a table of the four settings."""
    chosen = arguments()
    machine = {"machine.workers": chosen.workers, "machine.memory_gb": chosen.in_memory_gb}
    params = load_params(changes={key: value for key, value in machine.items() if value is not None})
    given = {
        "architecture": chosen.architecture,
        "batch_size": chosen.batch_size,
        "global_size": chosen.global_size,
        "local_size": chosen.local_size,
        "precision": chosen.precision,
    }
    common = {key: value for key, value in given.items() if value is not None}
    settings = params.pretrain.model_copy(update=common)
    count = settings.batch_size * (chosen.warm_up + chosen.steps)
    common |= {"epochs": 2, "monitor_every": 1000}
    print(f"{settings.architecture}, batch {settings.batch_size}, {settings.global_size} px, {settings.precision}")
    print(f"{'method':<10}{'crops':<12}{'baseline':>12}{'SegIns':>12}{'ratio':>8}{'waiting':>9}")
    with tempfile.TemporaryDirectory() as folder:
        dataset, masks = random_images(Path(folder), count, chosen.image_side or settings.global_size)
        for local_crops, scale, name in ((0, (0.2, 1.0), "two"), (chosen.local_crops, (0.4, 1.0), "multi-crop")):
            changes = common | {"local_crops": local_crops, "global_scale": scale}
            for method in METHODS:
                times = measured(params, method, dataset, masks, changes, chosen.warm_up, chosen.steps)
                plain, extended = (1000 * min(seconds) for seconds in (times.baseline, times.segins))
                verdict = "" if times.ratio <= TARGET else f"  above {TARGET}"
                print(
                    f"{method:<10}{name:<12}{plain:>9.0f} ms{extended:>9.0f} ms{times.ratio:>8.3f}{times.waited:>9.1%}"
                    f"{verdict}",
                    flush=True,
                )


if __name__ == "__main__":
    with one_line_errors():
        main()
