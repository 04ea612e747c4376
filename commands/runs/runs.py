"""Run the steps that lead to some metrics, reusing what an equal step has made before."""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from commands.runs.graph import Graph, Step, is_given, read_stages, value_of, written_out
from pipeline_lib.artifacts.folder import META, file_digest, write_json
from pipeline_lib.artifacts.resume import run_fingerprint
from pipeline_lib.base.errors import MissingFileError, UserError
from pipeline_lib.params.params import Params

FINISHED = "finished.json"
LOG = "log.txt"
_RAW = Path("data/raw")
_ERROR = "error: "
_SEED = "suite.seed"
_INTERRUPTED = (130, -signal.SIGINT)


class Runs:
    """Runs of steps, each in a folder of its own, ``SCRATCH/<fingerprint>``, with links to what it reads.

    The fingerprint hashes the step's command, parameters, code and inputs, so that experiments share all that they have
    in common, an interrupted set goes on, and a second run only reads.

    Args:
        workspace: Root of the repository, with ``dvc.yaml``, the given artifacts and the raw files of data sets.
        scratch: Folder for what is made.
    """

    def __init__(self, workspace: Path, scratch: Path) -> None:
        self._workspace, self._scratch = workspace.absolute(), scratch.absolute()
        self._stages = read_stages(workspace)
        self._listings: dict[Path, str] = {}

    def graph(self, params: Params) -> Graph:
        """All steps for the names in ``params``."""
        return written_out(self._stages, params)

    def check(self, wanted: Iterable[Path], params: Params) -> None:
        """Refuse what cannot be run for want of an input.

        Args:
            wanted: Metric files, as ``dvc.yaml`` names them.
            params: Parameters of the run.

        Raises:
            MissingFileError: A given artifact or a raw folder is not there; the message says how to make it.
            UserError: No stage writes a wanted file.
        """
        graph = self.graph(params)
        steps = graph.leading_to(wanted)
        made = {path for step in steps for path in (*step.outputs, *step.metrics.values())}
        for path in (path for step in steps for path in step.inputs if path not in made):
            self._require(path, graph)

    def given(self, path: Path, params: Params) -> Path:
        """Folder of an artifact that lies in the workspace.

        Raises:
            MissingFileError: It is not there; the message says how to make it.
        """
        return self._require(path, self.graph(params))

    def has_file(self, path: Path) -> bool:
        """Whether a file that parameters name is there, below the workspace or anywhere."""
        return (self._workspace / path).is_file()

    def _require(self, path: Path, graph: Graph) -> Path:
        whole = self._workspace / path / META if is_given(path) else self._workspace / path
        if not whole.exists():
            writer = graph.writer(path)
            how = f"make it with `{writer.command}`" if writer else "put the data set's files there"
            raise MissingFileError(f"{path}: not found; {how}")
        return self._workspace / path

    def values(self, wanted: Iterable[Path], params: Params) -> tuple[dict[str, Any], float]:
        """Run what is missing and give the metrics.

        Args:
            wanted: Metric files, as ``dvc.yaml`` names them.
            params: Parameters of the run.

        Returns:
            Values by ``FILE.KEY``, of all steps that lead to the wanted ones, and the seconds that steps took now.

        Raises:
            UserError: A stage refuses its parameters or inputs, or fails, or no stage writes a wanted file.
        """
        _, values, seconds = self._run(wanted, params)
        return values, seconds

    def places(self, wanted: Iterable[Path], params: Params) -> dict[Path, Path]:
        """Where the artifacts lie that lead to some metrics, after :meth:`values` has run for them.

        Args:
            wanted: Metric files, as ``dvc.yaml`` names them.
            params: Parameters of the run.

        Returns:
            The folder or file of each output, by its path in ``dvc.yaml``.
        """
        return self._run(wanted, params)[0]

    def _run(self, wanted: Iterable[Path], params: Params) -> tuple[dict[Path, Path], dict[str, Any], float]:
        tree = params.model_dump(mode="json", by_alias=True)
        places: dict[Path, Path] = {}
        raw: dict[Path, set[Path]] = {}
        values: dict[str, Any] = {}
        seconds = 0.0
        for step in self.graph(params).leading_to(wanted):
            # An artifact may name images in a raw folder, so that whoever reads it needs that folder too.
            behind = {path for path in step.inputs if path.is_relative_to(_RAW)}
            behind = behind.union(*(raw.get(path, set()) for path in step.inputs))
            read = [*step.inputs, *sorted(behind.difference(step.inputs)), *self._named_files(step, tree)]
            inputs = {path: places.get(path, self._workspace / path) for path in read}
            decide = [key for key in step.params if key != _SEED or not _draws_nothing(step, params)]
            folder = self._scratch / self._fingerprint(step, {key: value_of(tree, key) for key in decide}, inputs)
            seconds += self._made(step, tree, folder, inputs)
            written = (*step.outputs, *step.metrics.values())
            places |= {path: folder / path for path in written}
            raw |= dict.fromkeys(written, behind)
            for name, path in step.metrics.items():
                values |= dict(_flat(name, json.loads((folder / path).read_text())))
        return places, values, seconds

    def _named_files(self, step: Step, tree: Mapping[str, Any]) -> list[Path]:
        """Files of the workspace that the step's parameters name, such as one of weights."""
        texts = {text for key in step.params for text in _texts(value_of(tree, key))}
        relative = [Path(text) for text in sorted(texts) if text and not Path(text).is_absolute()]
        return [path for path in relative if (self._workspace / path).is_file()]

    def _fingerprint(self, step: Step, chosen: Mapping[str, Any], inputs: Mapping[Path, Path]) -> str:
        settings = {"command": step.command, **chosen}
        settings |= {str(path): self._state_of(path, source) for path, source in inputs.items()}
        return run_fingerprint(settings, [self._workspace / path for path in step.code], [])

    def _state_of(self, path: Path, source: Path) -> str:
        """What tells whether the content of an input is the same as in another run."""
        made = source.is_relative_to(self._scratch)
        if (made or is_given(path)) and not path.is_relative_to(_RAW):
            # Other code that writes the same artifact leads to the same results.
            described = [source] if source.is_file() else sorted(source.rglob(META))
            return " ".join(file_digest(file) for file in described)
        if made:
            return source.relative_to(self._scratch).parts[0]
        if source not in self._listings:
            self._listings[source] = _listing(source)
        return self._listings[source]

    def _made(self, step: Step, tree: Mapping[str, Any], folder: Path, inputs: Mapping[Path, Path]) -> float:
        """Run a step unless it has ended in ``folder`` before; the seconds that it took now."""
        if (folder / FINISHED).is_file():
            return 0.0
        with _locked(folder):
            # Another process may have been at the same step.
            if (folder / FINISHED).is_file():
                return 0.0
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            for path, source in inputs.items():
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).symlink_to(source.resolve(), target_is_directory=source.is_dir())
            _write_params(folder / "params.yaml", tree)
            started = time.monotonic()
            self._start(step, folder)
            seconds = time.monotonic() - started
            write_json(folder / FINISHED, {"stage": step.stage, "seconds": round(seconds, 2)})
        return seconds

    def _start(self, step: Step, folder: Path) -> None:
        words = shlex.split(step.command)
        program = sys.executable if words[0] == "python" else words[0]
        paths = {"PYTHONPATH": str(self._workspace), "PATH": str(Path(sys.executable).parent)}
        environment = os.environ | {
            name: os.pathsep.join(filter(None, (first, os.environ.get(name)))) for name, first in paths.items()
        }
        # Progress that can be resumed lies in the repository's scratch/, whichever folder a step works in.
        environment["DVC_ROOT"] = str(self._workspace)
        with (folder / LOG).open("w", encoding="utf-8") as log:
            try:
                process = subprocess.Popen(
                    [program, *words[1:]], cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT
                )
            except FileNotFoundError:
                raise UserError(f"launcher: {words[0]}: no such command") from None
            try:
                code = process.wait()
            except BaseException:
                # Ctrl-C above all: a stage must not go on without the command that waits for it.
                process.terminate()
                process.wait()
                raise
        if code in _INTERRUPTED:
            raise KeyboardInterrupt
        if code:
            raise UserError(_reason(step, folder / LOG, code))


def _draws_nothing(step: Step, params: Params) -> bool:
    """Whether all seeds share what a step makes: an exact search above a threshold that is given."""
    given = params.knn.threshold != "auto" or not params.knn.adaptive
    return step.stage == "knn" and params.knn.index == "Flat" and given


def _reason(step: Step, log: Path, code: int) -> str:
    """What a stage said in its last line that begins with ``error:``, below which a launcher may have said more."""
    said = [line for line in log.read_text(errors="replace").splitlines() if line.startswith(_ERROR)]
    if said:
        return said[-1].removeprefix(_ERROR)
    return f"{step.stage} ended with exit code {code}; what it said is in {log}"


def _write_params(path: Path, tree: Mapping[str, Any]) -> None:
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    with path.open("w", encoding="utf-8") as stream:
        yaml.dump(tree, stream)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other processes from the folder; a process that dies leaves no lock behind."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f".{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _listing(source: Path) -> str:
    """Names, sizes and times of raw files, or of one file."""
    files = sorted(path for path in source.rglob("*") if path.is_file()) if source.is_dir() else [source]
    facts = [(path.relative_to(source).as_posix(), path.stat()) for path in files]
    return json.dumps([(name, stat.st_size, stat.st_mtime_ns) for name, stat in facts])


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _texts(part)


def _flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _flat(f"{name}.{key}", part)
    else:
        yield name, value
