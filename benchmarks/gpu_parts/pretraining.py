"""Part ``pretrain``: steps of SimSiam and MoCo-V2 with and without the SegIns branch, and the path over NCCL."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

from benchmarks.measuring import Part
from benchmarks.segins_step import Runner, random_images
from pipeline_lib.artifacts.dataset import Dataset
from pipeline_lib.artifacts.masks import Masks
from pipeline_lib.base import runtime
from pipeline_lib.base.precision import taken_precision
from pipeline_lib.base.runtime import fixed_shapes
from pipeline_lib.images.decoding import decode
from pipeline_lib.params.params import load_params
from pipeline_lib.segins.pretraining.methods import METHODS, MethodSettings, MocoSettings
from pipeline_lib.segins.pretraining.run import build_pretrainer
from pipeline_lib.segins.pretraining.settings import PretrainSettings, SegInsSettings

_SECONDS = 7.0
_SMOKE_SECONDS = 60


def run(part: Part) -> None:
    """Measure the four pretrainings, then try the distributed path.

    Raises:
        RuntimeError: The distributed path failed.
    """
    params = load_params()
    settings = settings_of(part, params.pretrain)
    dataset, masks = random_images(part.folder, 4 * settings.batch_size, settings.global_size + 32)
    for method in METHODS:
        own = params.method_settings(method)
        if isinstance(own, MocoSettings):
            queue = 16 * settings.batch_size if part.tiny else 65536
            own = own.model_copy(update={"queue": queue, "queue_start": "random"})
        for branch in (None, params.segins):
            with fixed_shapes():
                measure(part, settings, method, own, branch, dataset, masks)
    nccl_smoke(part)


def settings_of(part: Part, given: PretrainSettings) -> PretrainSettings:
    """The thesis' two-crop setting at batch 256, long enough not to end."""
    changes = {
        "architecture": "resnet18" if part.tiny else "resnet50",
        "global_size": 32 if part.tiny else 224,
        "global_scale": (0.2, 1.0),
        "local_crops": 0,
        "epochs": 10_000,
        "monitor_every": 10_000,
        "batch_size": 8 if part.tiny else 256,
        "precision": "float32" if part.tiny else "bfloat16",
    }
    return given.model_copy(update=changes)


def measure(
    part: Part,
    settings: PretrainSettings,
    method: str,
    own: MethodSettings,
    branch: SegInsSettings | None,
    dataset: Dataset,
    masks: Masks,
) -> None:
    """Steps of one pretraining."""
    part.reset_peak()
    workers = max(1, (os.cpu_count() or 1) - 1)
    device = runtime.device_type("cpu" if part.device.type == "cpu" else "cuda")
    fabric = runtime.start(device, taken_precision(settings.precision, device), 0)
    trainer = build_pretrainer(
        fabric, settings, method, own, branch, dataset, masks if branch else None, decode, 0, 8 << 30, workers
    )
    runner = Runner(trainer)
    for _ in range(1 if part.tiny else 4):
        runner.step()
    steps: list[tuple[float, float]] = []
    while len(steps) < 2 or (not part.tiny and sum(seconds for seconds, _ in steps) < _SECONDS):
        steps.append(runner.step())
    seconds, waited = (sum(values) / len(steps) for values in zip(*steps, strict=True))
    what = f"{method}{' + SegIns' if branch else ''}, {settings.architecture}, batch {settings.batch_size}"
    part.row(
        f"{what}, {settings.global_size} px, {settings.precision}",
        steps=len(steps),
        workers=workers,
        images_a_second=settings.batch_size / seconds,
        waiting_for_views=waited / seconds,
        images_a_second_without_waiting=settings.batch_size / (seconds - waited),
        fastest_step_seconds=min(step - wait for step, wait in steps),
        **part.peaks(),
    )
    # Ends the workers.
    del runner, trainer


def nccl_smoke(part: Part) -> None:
    """One process under torchrun, which talks over NCCL (on a CPU over gloo) with itself.

    Raises:
        RuntimeError: It failed.
    """
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=1", "-m"]
    command += ["benchmarks.gpu_parts.process_group", part.device.type]
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=min(_SMOKE_SECONDS, max(5.0, part.left())),
        check=False,
    )
    measures: dict[str, Any] = {"code": done.returncode}
    for line in done.stdout.splitlines():
        key, found, value = line.partition("=")
        if found and key.startswith("smoke_"):
            measures[key.removeprefix("smoke_")] = value
    part.row("torchrun with one process", **measures)
    if done.returncode:
        raise RuntimeError(f"torchrun with one process: {done.stdout[-1500:]}")
