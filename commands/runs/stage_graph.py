"""What dvc.yaml says of the stages: artifacts, code and parameters that each depends on, metrics that it writes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from commands.imported_code import imported_code
from commands.runs.dependency_order import in_dependency_order
from pipeline_lib.base.errors import UserError
from pipeline_lib.base.yaml_files import read_yaml

GIVEN = ("datasets", "features")
"""Artifacts that lie in the workspace; no ablation makes them again."""

_ARTIFACT = re.compile(r"data/(\w+)/\$\{item\.data\}")
_METRICS = re.compile(r"metrics/.*/(\w+)\.json")


@dataclass(frozen=True)
class StageFacts:
    """One stage.

    Attributes:
        name: Name of the stage and of its module.
        inputs: Kinds of the artifacts that it reads.
        outputs: Kinds of those that it writes.
        metrics: Names of the metric files that it writes.
        code: Its module and those that it imports; files and folders.
        params: Keys of ``params.yaml``, with ``${item.data}`` and ``${item.backbone}`` in them.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    metrics: tuple[str, ...]
    code: tuple[Path, ...]
    params: tuple[str, ...]


EXTRA_STAGES = {"cluster_use": ("assignments",), "similarity": ("datasets", "neighbors")}
"""Measures of the ablations that no stage of the pipeline writes, with the artifacts that each reads."""


class StageGraph:
    """The stages in an order in which each comes after those that it depends on.

    Args:
        stages: The stages.
    """

    def __init__(self, stages: Iterable[StageFacts]) -> None:
        self._stages = {stage.name: stage for stage in stages}
        self._writer = {kind: stage.name for stage in self._stages.values() for kind in stage.outputs}
        self._measured = {name: stage.name for stage in self._stages.values() for name in stage.metrics}

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of all metric files."""
        return tuple(self._measured)

    def leading_to(self, metrics: Iterable[str]) -> list[StageFacts]:
        """Stages that have to run for some metric files, in order, where ``GIVEN`` artifacts are there.

        Raises:
            UserError: No stage writes one of them.
        """
        return in_dependency_order([self._measuring(name) for name in metrics], self._needs)

    def _measuring(self, name: str) -> StageFacts:
        if name not in self._measured:
            raise UserError(f"metrics {name}.json: no stage of dvc.yaml writes it; allowed: {', '.join(self.metrics)}")
        return self._stages[self._measured[name]]

    def _needs(self, stage: StageFacts) -> list[StageFacts]:
        return [self._stages[self._writer[kind]] for kind in stage.inputs if kind not in GIVEN]


def read_stage_graph(path: Path = Path("dvc.yaml")) -> StageGraph:
    """Read the stages of ``dvc.yaml`` and add the measures of the ablations.

    Raises:
        MissingFileError: The file is absent.
        UserError: It is no YAML.
    """
    stages: Mapping[str, Any] = read_yaml(path)["stages"]
    extra = [_extra_facts(name, inputs, path.parent) for name, inputs in EXTRA_STAGES.items()]
    return StageGraph([*(_facts(name, body) for name, body in stages.items()), *extra])


def _extra_facts(name: str, inputs: tuple[str, ...], root: Path) -> StageFacts:
    # dvc.yaml does not name their code: it is what they import, so that no change of it leaves old figures.
    return StageFacts(name, inputs, (), (name,), imported_code(Path("commands/measures") / f"{name}.py", root), ())


def _facts(name: str, body: Mapping[str, Any]) -> StageFacts:
    deps = body.get("deps", [])
    metrics = [file for entry in body.get("metrics", []) for file in entry]
    return StageFacts(
        name=name,
        inputs=tuple(found[1] for dep in deps if (found := _ARTIFACT.match(dep))),
        outputs=tuple(found[1] for out in body.get("outs", []) if (found := _ARTIFACT.match(out))),
        metrics=tuple(found[1] for file in metrics if (found := _METRICS.match(file))),
        code=tuple(Path(dep) for dep in deps if not dep.startswith(("data/", "metrics/"))),
        params=tuple(entry for entry in body.get("params", []) if isinstance(entry, str)),
    )
