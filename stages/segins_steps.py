"""Steps of the SegIns chain, each in a folder of its own that is named by all that decides it."""

from __future__ import annotations

import importlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pipeline_lib
from pipeline_lib.artifacts.folder import write_json
from pipeline_lib.artifacts.resume import run_fingerprint
from pipeline_lib.params import Params
from stages.segins_command_line import SegInsContext

FINISHED = "finished.json"


@dataclass(frozen=True)
class Step:
    """One run of a stage.

    Attributes:
        stage: Name of the stage.
        options: Its method, start and target.
        sections: Sections of ``params.yaml`` that it depends on.
        inputs: Steps whose outputs it reads.
        outputs: What it writes and others read, relative to the root.
    """

    stage: str
    options: tuple[tuple[str, str], ...]
    sections: tuple[str, ...]
    inputs: tuple[Step, ...]
    outputs: tuple[str, ...]

    @property
    def title(self) -> str:
        """Stage with its options."""
        return "-".join((self.stage, *(value for _, value in self.options)))


def chain(params: Params, data: str, starts: tuple[str, ...]) -> Iterator[Step]:
    """All steps that some starts need, each after its inputs.

    Args:
        params: Parameters.
        data: Data set of the pretraining.
        starts: Starts that are transferred.
    """
    checkpoints: dict[str, Step] = {}
    for start in starts:
        yield from _pretraining(data, start, checkpoints)
    for start in starts:
        checkpoint = checkpoints[start]
        yield Step("linear_eval", (("start", start),), ("linear_eval",), (checkpoint,), ())
        for target in params.segins_suite.target:
            for stage in ("detection", "segmentation"):
                yield Step(stage, (("start", start), ("target", target)), (stage,), (checkpoint,), ())


def _pretraining(data: str, start: str, checkpoints: dict[str, Step]) -> Iterator[Step]:
    method, _, kind = start.partition("-")
    folder = f"data/checkpoints/{data}"
    if start in checkpoints:
        return
    if kind not in ("baseline", "segins"):
        given = (("start", start),)
        checkpoints[start] = Step("given_checkpoint", given, ("checkpoints", "pretrain"), (), (f"{folder}/{start}",))
        yield checkpoints[start]
        return
    baseline, options = f"{method}-baseline", (("method", method),)
    options = (("method", method),)
    if baseline not in checkpoints:
        outputs = (f"{folder}/{baseline}",)
        checkpoints[baseline] = Step("pretrain_baseline", options, ("pretrain", method), (), outputs)
        yield checkpoints[baseline]
    if kind == "segins":
        masks = Step("masks", options, ("masks",), (checkpoints[baseline],), (f"data/masks/{data}/{method}",))
        yield masks
        outputs = (f"{folder}/{start}",)
        checkpoints[start] = Step("pretrain_segins", options, ("pretrain", method, "segins"), (masks,), outputs)
        yield checkpoints[start]


class Runner:
    """Runs steps in this process and keeps what they made under ``scratch``; an equal step only reads.

    Args:
        params: Parameters.
        data: Data set of the pretraining, annotated in ``workspace``.
        workspace: Root of the repository.
        scratch: Folder for what is made.
    """

    def __init__(self, params: Params, data: str, workspace: Path, scratch: Path) -> None:
        self._params, self._data = params, data
        self._workspace, self._scratch = workspace.absolute(), scratch.absolute()
        self._values: dict[str, Any] = params.model_dump(mode="json", by_alias=True)
        sets = {data, *params.segins_suite.target}
        self._annotated = [workspace / "data" / "annotated" / name / "images" for name in sorted(sets)]

    def root(self, step: Step) -> Path:
        """Folder of a step."""
        sections = {name: self._values[name] for name in step.sections}
        before = [self.root(other).name for other in step.inputs]
        settings = {"stage": step.stage, "data": self._data, "options": step.options, "sections": sections}
        code = [Path(pipeline_lib.__file__).parent, self._workspace / "stages" / f"{step.stage}.py"]
        fingerprint = run_fingerprint(settings | {"inputs": before}, code, self._annotated)
        return self._scratch / f"{step.title}-{fingerprint}"

    def run(self, step: Step) -> float:
        """Run a step, unless it is there; returns its seconds, 0 where it was there."""
        root = self.root(step)
        if (root / FINISHED).is_file():
            return 0.0
        (root / "data").mkdir(parents=True, exist_ok=True)
        _link(root / "data" / "annotated", self._workspace / "data" / "annotated")
        for other in step.inputs:
            for output in other.outputs:
                _link(root / output, self.root(other) / output)
        context = SegInsContext(step.stage, self._params, self._data, "", root=root, **dict(step.options))  # type: ignore[arg-type]
        started = time.monotonic()
        importlib.import_module(f"stages.{step.stage}").run(context)
        seconds = time.monotonic() - started
        write_json(root / FINISHED, {"seconds": round(seconds, 1)})
        return seconds

    def metrics(self, step: Step) -> dict[str, Any]:
        """What a finished step measured."""
        found: dict[str, Any] = {}
        for path in sorted((self.root(step) / "metrics").rglob("*.json")):
            found |= json.loads(path.read_text())
        return found


def _link(link: Path, target: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    if link.is_symlink():
        link.unlink()
    link.symlink_to(target)
