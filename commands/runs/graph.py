"""The stages as ``dvc.yaml`` describes them, for the names of the suites, and which of them a result needs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from commands.imported_code import imported_code, is_plumbing
from pipeline_lib.base.errors import MissingFileError, UserError
from pipeline_lib.base.yaml_files import read_yaml
from pipeline_lib.params.params import Params

GIVEN = ("datasets", "features")
"""Artifacts that lie in the workspace; no experiment makes them again."""

MEASURE_STEPS = {
    "cluster_use": ("assignments",),
    "data_set": ("datasets",),
    "similarity": ("datasets", "neighbors"),
}
"""Measures of experiments that no stage writes, with the artifacts that each reads."""

_NAME = re.compile(r"\$\{([\w.]+)\}")
_ITEM_NAME = re.compile(r"-?\$\{item\.\w+\}-?")
_CHECKS = Path("data/checks")


@dataclass(frozen=True, eq=False)
class Step:
    """One stage with one choice of names.

    Attributes:
        stage: Name of the stage.
        item: The names that it is run with, by option.
        command: How it is started.
        inputs: Artifacts, raw folders and metric files that it reads, below the root.
        outputs: Folders that it writes.
        metrics: Metric files that it writes, by their names without those of the item, such as ``linear_eval``.
        code: Its module and those that it imports; files and folders.
        params: Keys of ``params.yaml`` that decide its result.
    """

    stage: str
    item: Mapping[str, str]
    command: str
    inputs: tuple[Path, ...]
    outputs: tuple[Path, ...]
    metrics: Mapping[str, Path]
    code: tuple[Path, ...]
    params: tuple[str, ...]


class Graph:
    """All steps of both chains, for the names of the suites.

    Args:
        steps: The steps; each output and each metric file has one that writes it.
    """

    def __init__(self, steps: Iterable[Step]) -> None:
        self._steps = tuple(steps)
        self._writers = {path: step for step in self._steps for path in (*step.outputs, *step.metrics.values())}

    def metric_file(self, name: str, names: Mapping[str, str]) -> Path | None:
        """Metric file of the step that is run with some names.

        Args:
            name: The file's name without those of the item.
            names: By option; those that the step does not have do not count.

        Returns:
            Path below the root, or ``None`` where no step with these names writes it.
        """
        fitting = (
            step for step in self._steps if all(names.get(option) == chosen for option, chosen in step.item.items())
        )
        return next((step.metrics[name] for step in fitting if name in step.metrics), None)

    def writer(self, path: Path) -> Step | None:
        """The step that writes an artifact or a metric file."""
        return self._writers.get(path)

    def leading_to(self, metrics: Iterable[Path]) -> list[Step]:
        """Steps that have to run for some metric files, each once and after those that it depends on.

        Args:
            metrics: The files; what leads to the first one comes first.

        Returns:
            The steps. Those that write what is ``GIVEN`` are not among them, nor what only they need.

        Raises:
            UserError: No step writes one of the files.
        """
        found: dict[Step, None] = {}

        def visit(step: Step) -> None:
            if step in found:
                return
            for path in step.inputs:
                # What no step writes lies in the workspace.
                if path in self._writers and not is_given(path):
                    visit(self._writers[path])
            found[step] = None

        for path in metrics:
            if path not in self._writers:
                raise UserError(f"{path}: no stage of dvc.yaml writes it with the names of the suites in params.yaml")
            visit(self._writers[path])
        return list(found)


def is_given(path: Path) -> bool:
    """Whether an artifact is one of those that lie in the workspace."""
    return path.parts[0] == "data" and path.parts[1] in GIVEN


def read_stages(root: Path = Path()) -> dict[str, Mapping[str, Any]]:
    """Stages of ``dvc.yaml`` as it writes them, and the measures that no stage writes in the same form.

    Args:
        root: Root of the repository.

    Returns:
        Bodies by name of the stage.

    Raises:
        MissingFileError: The file is absent, or the module of a measure.
        UserError: It is no YAML, or has no stages.
    """
    tree = read_yaml(root / "dvc.yaml")
    if not isinstance(tree, Mapping) or not isinstance(tree.get("stages"), Mapping):
        raise UserError(f"{root / 'dvc.yaml'}: expected stages by name below the key stages")
    return {**tree["stages"], **{name: _measure(name, root) for name in MEASURE_STEPS}}


def _measure(name: str, root: Path) -> dict[str, Any]:
    module = Path("commands/measures") / f"{name}.py"
    if not (root / module).is_file():
        raise MissingFileError(f"{root / module}: not found; it computes the measure {name}")
    kinds = MEASURE_STEPS[name]
    options = ["data"] if kinds == ("datasets",) else ["data", "backbone"]
    run = "-".join(f"${{item.{option}}}" for option in options)
    artifacts = [f"data/{kind}/{'${item.data}' if kind == 'datasets' else run}" for kind in kinds]
    # Their code is what they import, so that no change of it leaves old values.
    code = imported_code(module, root, is_plumbing)
    return {
        "matrix": {option: f"${{suite.{option}}}" for option in options},
        "cmd": " ".join(
            [f"python -m commands.measures.{name}", *(f"--{option} ${{item.{option}}}" for option in options)]
        ),
        "deps": [*artifacts, *map(str, code)],
        "metrics": [{f"metrics/{run}/{name}.json": {}}],
    }


def written_out(stages: Mapping[str, Mapping[str, Any]], params: Params) -> Graph:
    """The steps that the stages stand for.

    Args:
        stages: What :func:`read_stages` gave.
        params: Parameters with the names of the suites.

    Raises:
        UserError: A matrix has something else than lists, or names what is no list of ``params.yaml``; an output, a
            dependency or a metric file is no path.
    """
    tree = params.model_dump(mode="json", by_alias=True)
    return Graph(step for name, body in stages.items() for step in _steps(name, body, tree))


def _steps(name: str, body: Mapping[str, Any], tree: Mapping[str, Any]) -> Iterator[Step]:
    matrix: Mapping[str, Any] = body.get("matrix", {})
    for names in product(*(_listed(f"{name}.matrix.{option}", values, tree) for option, values in matrix.items())):
        yield _step(name, body, dict(zip(matrix, names, strict=True)), tree)


def _listed(key: str, values: Any, tree: Mapping[str, Any]) -> list[str]:
    """Names that a matrix runs through: a list of ``params.yaml``, or one that ``dvc.yaml`` writes itself."""
    found = _NAME.fullmatch(values) if isinstance(values, str) else None
    names = value_of(tree, found[1]) if found else values
    if not isinstance(names, list) or not all(_is_literal(name) for name in names):
        raise UserError(f"dvc.yaml: stages.{key} = {values}: allowed: a list of params.yaml, or of texts and numbers")
    return [str(name) for name in names]


def _is_literal(name: Any) -> bool:
    # DVC writes true and false otherwise than Python does.
    is_number = isinstance(name, int | float) and not isinstance(name, bool)
    return is_number or (isinstance(name, str) and "${" not in name)


def _paths(stage: str, key: str, body: Mapping[str, Any]) -> list[str]:
    """Paths of an entry of a stage; each may have options below it."""
    found = []
    for number, entry in enumerate(body.get(key) or []):
        options = list(entry) if isinstance(entry, Mapping) else [entry]
        if len(options) != 1 or not all(isinstance(path, str) for path in options):
            raise UserError(f"dvc.yaml: stages.{stage}.{key}[{number}] = {entry}: allowed: a path, or one with options")
        found += options
    return found


def _step(name: str, body: Mapping[str, Any], item: Mapping[str, str], tree: Mapping[str, Any]) -> Step:
    def filled(text: str) -> str:
        def value(match: re.Match[str]) -> str:
            section, _, rest = match[1].partition(".")
            return item[rest] if section == "item" else str(value_of(tree, match[1]))

        return _NAME.sub(value, text)

    paths = [Path(filled(dep)) for dep in _paths(name, "deps", body)]
    metrics = _paths(name, "metrics", body)
    return Step(
        stage=name,
        item=item,
        command=filled(body["cmd"]),
        inputs=tuple(path for path in paths if _is_data(path) and not path.is_relative_to(_CHECKS)),
        outputs=tuple(Path(filled(out)) for out in _paths(name, "outs", body)),
        metrics={_ITEM_NAME.sub("", Path(file).stem): Path(filled(file)) for file in metrics},
        code=tuple(path for path in paths if not _is_data(path)),
        params=tuple(filled(entry) for entry in body.get("params", []) if isinstance(entry, str)),
    )


def _is_data(path: Path) -> bool:
    return path.parts[0] in ("data", "metrics")


def value_of(tree: Mapping[str, Any], key: str) -> Any:
    """Value of a dotted key of ``params.yaml``.

    Raises:
        UserError: There is no such key.
    """
    value: Any = tree
    for part in key.split("."):
        if not isinstance(value, Mapping) or part not in value:
            raise UserError(f"{key}: no key of params.yaml")
        value = value[part]
    return value
