"""The SegIns chain as ``dvc.yaml`` describes it, written out for the names of one suite."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from commands.runs.dependency_order import in_dependency_order
from pipeline_lib.base.errors import UserError
from pipeline_lib.base.yaml_files import read_yaml
from pipeline_lib.params.params import Params

_NAME = re.compile(r"\$\{([\w.]+)\}")
_SUITE = re.compile(r"\$\{segins_suite\.(\w+)\}")
_OTHER_SUITE = "${suite."
_CHECKS = Path("data/checks")


@dataclass(frozen=True)
class Step:
    """One stage for one data set, method, start and target.

    Attributes:
        stage: Name of the stage and of its module.
        item: The names that it is run with, by option.
        inputs: Folders of artifacts that it reads, below the root.
        outputs: Folders that it writes.
        metrics: Metric files that it writes.
        code: Its module and those that it imports; files and folders.
        params: Keys of ``params.yaml`` that decide its result.
    """

    stage: str
    item: Mapping[str, str]
    inputs: tuple[Path, ...]
    outputs: tuple[Path, ...]
    metrics: tuple[Path, ...]
    code: tuple[Path, ...]
    params: tuple[str, ...]


class Steps:
    """All steps of a suite.

    Args:
        steps: The steps; each output and each metric file has one that writes it.
    """

    def __init__(self, steps: Iterable[Step]) -> None:
        self._writers = {path: step for step in steps for path in (*step.outputs, *step.metrics)}

    def leading_to(self, metrics: Iterable[Path]) -> list[Step]:
        """Steps that have to run for some metric files, each after those that it depends on.

        Raises:
            UserError: No step writes one of them.
        """
        return in_dependency_order([self._writing(path) for path in metrics], self._needs)

    def _writing(self, metrics: Path) -> Step:
        if metrics not in self._writers:
            raise UserError(f"{metrics}: no stage of dvc.yaml writes it with the names of segins_suite in params.yaml")
        return self._writers[metrics]

    def _needs(self, step: Step) -> list[Step]:
        # What no step writes lies in the workspace.
        return [self._writers[path] for path in step.inputs if path in self._writers]


def read_steps(params: Params, path: Path = Path("dvc.yaml")) -> Steps:
    """Read the stages of the SegIns chain for the names in ``segins_suite``.

    Args:
        params: The parameters.
        path: The pipeline definition.

    Returns:
        The steps.

    Raises:
        MissingFileError: The file is absent.
        UserError: It is no YAML.
    """
    tree = params.model_dump(mode="json")
    stages: Mapping[str, Mapping[str, Any]] = read_yaml(path)["stages"]
    return Steps(step for name, body in stages.items() for step in _written_out(name, body, tree))


def _written_out(name: str, body: Mapping[str, Any], tree: Mapping[str, Any]) -> Iterator[Step]:
    matrix: Mapping[str, str] = body.get("matrix", {})
    if any(values.startswith(_OTHER_SUITE) for values in matrix.values()):
        return
    lists = [tree["segins_suite"][_suite_key(values)] for values in matrix.values()]
    for names in product(*lists):
        yield _step(name, body, dict(zip(matrix, names, strict=True)), tree)


def _suite_key(values: str) -> str:
    found = _SUITE.fullmatch(values)
    if found is None:
        raise UserError(f"dvc.yaml: matrix {values}: allowed: a list of segins_suite")
    return found[1]


def _step(name: str, body: Mapping[str, Any], item: Mapping[str, str], tree: Mapping[str, Any]) -> Step:
    def filled(text: str) -> str:
        return _NAME.sub(lambda match: _value(match[1], item, tree), text)

    paths = [Path(filled(dep)) for dep in body.get("deps", [])]
    return Step(
        stage=name,
        item=item,
        inputs=tuple(path for path in paths if path.parts[0] == "data" and not path.is_relative_to(_CHECKS)),
        outputs=tuple(Path(filled(out)) for out in body.get("outs", [])),
        metrics=tuple(Path(filled(file)) for entry in body.get("metrics", []) for file in entry),
        code=tuple(path for path in paths if path.parts[0] not in ("data", "metrics")),
        params=tuple(filled(entry) for entry in body.get("params", []) if isinstance(entry, str)),
    )


def _value(key: str, item: Mapping[str, str], tree: Mapping[str, Any]) -> str:
    section, _, rest = key.partition(".")
    if section == "item":
        return item[rest]
    value: Any = tree
    for part in key.split("."):
        value = value[part]
    return str(value)
