"""Run the stages of one experiment in this process, reusing what an equal experiment has made before."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from commands.runs.isolated_runs import deciding_settings, is_finished, run_apart
from commands.runs.stage_graph import EXTRA_STAGES, GIVEN, StageFacts, StageGraph
from pipeline_lib.artifacts.dataset import open_dataset
from pipeline_lib.artifacts.folder import META
from pipeline_lib.artifacts.resume import run_fingerprint
from pipeline_lib.base.errors import MissingFileError
from pipeline_lib.params.params import Params
from stages._context import StageContext


class Experiments:
    """Experiments on one data set with one backbone.

    Each stage works in a folder of its own, ``SCRATCH/<fingerprint>``, with links to what it reads. The fingerprint
    hashes the stage's parameters, code and inputs, so that experiments share all that they have in common, an
    interrupted set goes on, and a second run only reads.

    Args:
        graph: The stages.
        data: Data set; its artifact and its features lie in ``workspace``.
        backbone: Backbone.
        workspace: Root of the repository.
        scratch: Folder for what is made.

    Raises:
        MissingFileError: Data set or features are not there.
    """

    def __init__(self, graph: StageGraph, data: str, backbone: str, workspace: Path, scratch: Path) -> None:
        self._graph, self._data, self._backbone = graph, data, backbone
        self._run, self._workspace, self._scratch = f"{data}-{backbone}", workspace, scratch
        self._given = {kind: workspace / "data" / kind / self._name(kind) for kind in GIVEN}
        for kind, folder in self._given.items():
            if not (folder / META).is_file():
                stage = "prepare" if kind == "datasets" else "extract"
                raise MissingFileError(
                    f"{folder}: not found; make it with `python -m stages.{stage} --data {data}"
                    f"{'' if kind == 'datasets' else f' --backbone {backbone}'}`"
                )

    def _name(self, kind: str) -> str:
        return self._data if kind == "datasets" else self._run

    def labelled(self) -> bool:
        """Whether the val split has labels."""
        return open_dataset(self._given["datasets"]).oracle_labels("val") is not None

    def feature_blocks(self) -> tuple[str, ...]:
        """Blocks that the backbone gives by default."""
        return tuple(json.loads((self._given["features"] / META).read_text())["default_blocks"])

    def figures(self, metrics: Iterable[str], params: Params) -> tuple[dict[str, Any], float]:
        """Run what is missing and give the figures.

        Args:
            metrics: Names of the metric files that are wanted.
            params: Parameters of the experiment.

        Returns:
            Figures by ``FILE.KEY``, of all stages that lead to the wanted ones, and the seconds that stages took now.
        """
        folders, figures, seconds = dict(self._given), dict[str, Any](), 0.0
        for stage in self._graph.leading_to(metrics):
            fingerprint = self._fingerprint(stage, params, folders)
            folder = self._scratch / fingerprint
            if not is_finished(folder):
                seconds += self._run_stage(stage, params, folder, folders)
            folders |= {kind: folder / "data" / kind / self._name(kind) for kind in stage.outputs}
            for name in stage.metrics:
                values = json.loads((folder / "metrics" / self._run / f"{name}.json").read_text())
                figures |= {f"{name}.{key}": value for key, value in values.items()}
        return figures, seconds

    def _fingerprint(self, stage: StageFacts, params: Params, folders: Mapping[str, Path]) -> str:
        settings = {"stage": stage.name, "data": self._data, "backbone": self._backbone}
        names = {"${item.data}": self._data, "${item.backbone}": self._backbone}
        for template in stage.params:
            key = template
            for text, name in names.items():
                key = key.replace(text, name)
            settings[key] = deciding_settings(params.model_dump(mode="json"), key)
        code = [self._workspace / path for path in stage.code]
        return run_fingerprint(settings, code, [folders[kind] for kind in stage.inputs])

    def _run_stage(self, stage: StageFacts, params: Params, folder: Path, folders: Mapping[str, Path]) -> float:
        inputs = {Path("data") / kind / self._name(kind): folders[kind] for kind in stage.inputs}

        def run(root: Path) -> None:
            folder = "commands.measures" if stage.name in EXTRA_STAGES else "stages"
            module = importlib.import_module(f"{folder}.{stage.name}")
            module.run(StageContext(stage.name, params, self._data, self._backbone, root=root))

        return run_apart(folder, stage.name, inputs, run)
