"""Run the steps of the SegIns chain in this process, reusing what an equal step has made before."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from commands.runs.isolated_runs import deciding_settings, is_finished, run_apart
from commands.runs.segins_steps import Step, read_steps
from pipeline_lib.artifacts.folder import META, file_digest
from pipeline_lib.artifacts.resume import run_fingerprint
from pipeline_lib.base.errors import MissingFileError
from pipeline_lib.params.params import Params
from stages._context import SegInsContext

_RAW = Path("data/raw")


class SegInsChain:
    """Runs of the chain, each step in a folder of its own, ``SCRATCH/<fingerprint>``, with links to what it reads.

    The fingerprint hashes the step's parameters, code and inputs, so that runs share all that they have in common, an
    interrupted set goes on, and a second run only reads.

    Args:
        workspace: Root of the repository, with ``dvc.yaml`` and the raw files of data sets that no stage makes.
        scratch: Folder for what is made.
    """

    def __init__(self, workspace: Path, scratch: Path) -> None:
        self._workspace, self._scratch = workspace, scratch
        self._given: dict[Path, str] = {}

    def metrics(self, wanted: Iterable[Path], params: Params) -> tuple[dict[Path, dict[str, Any]], float]:
        """Run what is missing and give the metrics.

        Args:
            wanted: Metric files, as ``dvc.yaml`` names them.
            params: Parameters of the run.

        Returns:
            Values by metric file, of all steps that lead to the wanted ones, and the seconds that steps took now.

        Raises:
            UserError: A stage refuses its parameters or inputs, or no stage writes a wanted file.
        """
        folders: dict[Path, Path] = {}
        values: dict[Path, dict[str, Any]] = {}
        seconds = 0.0
        for step in read_steps(params, self._workspace / "dvc.yaml").leading_to(wanted):
            inputs = {path: folders.get(path) or self._workspace / path for path in step.inputs}
            folder = self._scratch / self._fingerprint(step, params, inputs)
            if not is_finished(folder):
                seconds += _run(step, params, folder, inputs)
            folders |= {path: folder / path for path in step.outputs}
            values |= {path: json.loads((folder / path).read_text()) for path in step.metrics}
        return values, seconds

    def _fingerprint(self, step: Step, params: Params, inputs: dict[Path, Path]) -> str:
        tree = params.model_dump(mode="json")
        settings: dict[str, Any] = {"stage": step.stage, **step.item}
        settings |= {key: deciding_settings(tree, key) for key in step.params}
        settings |= {str(path): self._state_of(folder) for path, folder in inputs.items()}
        return run_fingerprint(settings, [self._workspace / path for path in step.code], [])

    def _state_of(self, folder: Path) -> str:
        """What tells whether the content of an input is the same as in another run."""
        if folder.is_relative_to(self._scratch):
            described = sorted(folder.rglob(META))
            # Other code that writes the same artifact leads to the same results; raw files have no description.
            made = folder.relative_to(self._scratch).parts[0]
            return " ".join(file_digest(path) for path in described) if described else made
        if folder not in self._given:
            self._given[folder] = _listing(folder)
        return self._given[folder]


def _listing(folder: Path) -> str:
    """Names, sizes and times of the raw files of a data set."""
    if not folder.is_dir():
        raise MissingFileError(f"{folder}: not found; put the data set's files there")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    facts = [(path.relative_to(folder).as_posix(), path.stat()) for path in files]
    return json.dumps([(name, stat.st_size, stat.st_mtime_ns) for name, stat in facts])


@dataclass(frozen=True)
class _ApartContext(SegInsContext):
    """Context of a step in a folder of its own.

    A data set's artifact records where its images lie. That must not be a link below a folder that is renamed.
    """

    raw: Path = Path()

    def artifact(self, kind: str) -> Path:
        return self.raw if kind == "raw" else super().artifact(kind)


def _run(step: Step, params: Params, folder: Path, inputs: dict[Path, Path]) -> float:
    names = dict(step.item)
    # A given checkpoint's name is the start of a transfer, as in the stage's own command line.
    start = names.get("start") or names.get("given", "")

    def run(root: Path) -> None:
        context = _ApartContext(
            step.stage,
            params,
            names.get("data", ""),
            "",
            root=root,
            method=names.get("method", ""),
            start=start,
            target=names.get("target", ""),
            raw=next((source for path, source in inputs.items() if path.is_relative_to(_RAW)), Path()),
        )
        importlib.import_module(f"stages.{step.stage}").run(context)

    return run_apart(folder, step.stage, inputs, run)
