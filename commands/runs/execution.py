"""Make the rows of a planned set, seed by seed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

from commands.runs.artifact_pictures import ARTIFACT_PICTURES
from commands.runs.graph import Graph
from commands.runs.plan import Choice, PlannedPart, PlannedRow, PlannedRun
from commands.runs.row_settings import row_params, row_settings
from commands.runs.runs import Runs
from pipeline_lib.artifacts.dataset import open_dataset
from pipeline_lib.artifacts.folder import META
from pipeline_lib.base.errors import MissingFileError, UserError
from pipeline_lib.base.progress import Progress
from pipeline_lib.experiments.definitions import Definitions
from pipeline_lib.experiments.measures import MEASURES, file_of, has_file
from pipeline_lib.experiments.results import Part, Pretraining, RowResult, RunResults
from pipeline_lib.params.lengths import unequal_lengths
from pipeline_lib.params.params import Params

_TOLD = {
    "ucls.best_head_acc": "best head ACC",
    **{MEASURES[name].metrics[0]: MEASURES[name].title for name in ("top1", "ap", "frozen_miou", "fine_tuned_miou")},
}
"""Metrics that a line of progress tells, with what they are called."""


class Execution:
    """The runs of one set.

    Args:
        choice: What the command line chooses.
        parts: What is planned.
        definitions: All sets.
        runs: Runs the steps.

    Attributes:
        results: Each part with its rows as far as they have run.
        remarks: What could not be measured.
        refused: Why rows could not be run, by name.

    Raises:
        UserError: A row cannot be run: a setting is not possible, or there are no labels.
        MissingFileError: No row has all of its inputs.
    """

    def __init__(self, choice: Choice, parts: list[PlannedPart], definitions: Definitions, runs: Runs) -> None:
        self._choice, self._definitions, self._runs = choice, definitions, runs
        self._missing: list[str] = []
        self._parts = parts
        self.results = [Part(part.tables, list(map(self._not_run, part.runs)), part.conditions) for part in self._parts]
        self.refused: dict[str, str] = {}
        absent: set[str] = set()
        for part, results in zip(self._parts, self.results, strict=True):
            for run, found in zip(part.runs, results.runs, strict=True):
                for planned, result in zip(run.rows, found.rows, strict=True):
                    absent |= set() if result.reason else self._checked(part, run, planned, result)
        self._check_inputs()
        self.remarks = [f"Not measured: {text}." for text in sorted(absent)]
        self.remarks += [f"Beware: {line}." for line in dict.fromkeys(self._unequal_lengths())]

    def _unequal_lengths(self) -> Iterator[str]:
        for part in self._parts:
            shown = {file_of(key) for table in part.tables for name in table.measures for key in MEASURES[name].metrics}
            for run in part.runs if shown else ():
                yield from unequal_lengths(run.params, {"masks"} | shown.intersection(part.evaluations or shown))

    def _check_labels(self, run: PlannedRun) -> None:
        folder = self._runs.given(Path("data/datasets") / run.data, run.params)
        if open_dataset(folder).oracle_labels("val") is None:
            name = self._choice.name
            raise UserError(f"--data {run.data}: its val split has no labels, which the tables of {name} need")

    def _feature_blocks(self, run: PlannedRun) -> list[str]:
        """Blocks that the backbone gives by default."""
        folder = self._runs.given(Path("data/features") / f"{run.data}-{run.backbone}", run.params)
        blocks: list[str] = json.loads((folder / META).read_text())["default_blocks"]
        return blocks

    def _check_inputs(self) -> None:
        """Tables of many data sets show those that are there; with none there is nothing to show."""
        rows = [row for results in self.results for found in results.runs for row in found.rows]
        if self._missing and all(row.reason for row in rows):
            raise MissingFileError(self._missing[0])

    def _not_run(self, run: PlannedRun) -> RunResults:
        pretraining, reason = None, ""
        absent = self._absent(run)
        if run.backbone and not absent:
            self._check_labels(run)
            if len(self._feature_blocks(run)) == 1:
                reason = f"does not apply: {run.backbone} gives one block of features"
        if run.target:
            section = run.params.pretrain
            crops = section.local_crops > 0
            pretraining = Pretraining(section.architecture, section.epochs, crops, run.params.detection.metric)
        rows = [
            RowResult(
                planned.row,
                row_settings(run, planned),
                reason=absent or (reason if planned.row.needs else self._missing_start(planned.row.start, run.params)),
            )
            for planned in run.rows
        ]
        return RunResults(run.data, rows, run.backbone, run.target, pretraining, run.gaps)

    def _absent(self, run: PlannedRun) -> str:
        """Why nothing can be said of a data set: its images or features are not there; empty where they are."""
        needed = [] if run.target else [Path("data/datasets") / run.data]
        needed += [Path("data/features") / f"{run.data}-{run.backbone}"] if run.backbone else []
        try:
            for path in needed:
                self._runs.given(path, run.params)
        except MissingFileError as error:
            self._missing.append(str(error))
            return str(error)
        return ""

    def _missing_start(self, start: str, params: Params) -> str:
        """Why a start that is a file cannot be evaluated: its row stays empty; empty where it can."""
        given = params.checkpoints.get(start)
        if given is None or given.path is None or self._runs.has_file(Path(given.path)):
            return ""
        return f"checkpoints.{start}.path = {given.path}: not found"

    def _checked(self, part: PlannedPart, run: PlannedRun, planned: PlannedRow, result: RowResult) -> set[str]:
        """Refuse what is not possible before the first row runs; what no stage measures."""
        params = row_params(run, planned)
        wanted, absent = self._wanted(part, run, planned, self._runs.graph(params))
        try:
            self._runs.check(wanted, params)
        except MissingFileError as error:
            result.reason = str(error)
            self._missing.append(result.reason)
        return absent

    def _wanted(
        self, part: PlannedPart, run: PlannedRun, planned: PlannedRow, graph: Graph
    ) -> tuple[list[Path], set[str]]:
        """Metric files with the measures that the tables show of a row, and what no stage writes."""
        wanted, absent = dict[Path, None](), set()
        names = run.names(planned.row)
        for measured, keys in part.metrics(self._definitions, planned.row, row_settings(run, planned)):
            files = dict.fromkeys(file for file in map(file_of, keys) if has_file(planned.row.start, file))
            paths = [path for file in files if (path := graph.metric_file(file, names)) is not None]
            if paths:
                wanted[paths[0]] = None
            elif files:
                absent.add(f"{measured}: no stage writes {' or '.join(sorted(files))}.json")
        return list(wanted), absent

    def run(self, after_run: Callable[[RunResults], object]) -> None:
        """Run all rows, one seed after the other, or read what was run before, with a line of progress each.

        A row that a stage refuses is left out with the reason, and the others go on.

        Args:
            after_run: Called with results that have grown by something that was run now.

        Raises:
            UserError: No row can be run.
        """
        for part, results in zip(self._parts, self.results, strict=True):
            for run, found in zip(part.runs, results.runs, strict=True):
                progress = Progress(f"{self._choice.name} {found.run}", len(found.rows) * self._choice.seeds)
                for seed in range(self._choice.seeds):
                    for planned, result in zip(run.rows, found.rows, strict=True):
                        if self._run_one(part, run, planned, result, seed, progress):
                            after_run(found)
        rows = [row for results in self.results for found in results.runs for row in found.rows]
        if rows and all(row.reason for row in rows):
            raise UserError(rows[0].reason)

    def _draws_artifacts(self, part: PlannedPart) -> bool:
        kinds = {
            *self._definitions.sets[self._choice.name].pictures,
            *(k for table in part.tables for k in table.pictures),
        }
        return not kinds.isdisjoint(ARTIFACT_PICTURES)

    def _run_one(
        self,
        part: PlannedPart,
        run: PlannedRun,
        planned: PlannedRow,
        result: RowResult,
        seed: int,
        progress: Progress,
    ) -> bool:
        """Run a row with one seed; whether a stage was run now."""
        what = f"{result.row.name}, seed {seed}"
        if result.reason:
            progress.skip(1, f"{what}: {result.reason if seed == 0 else 'not run'}")
            return False
        params: Params = row_params(run, planned, seed)
        wanted, _ = self._wanted(part, run, planned, self._runs.graph(params))
        try:
            values, seconds = self._runs.values(wanted, params)
        except UserError as error:
            # An error from a worker process comes with its traceback before it.
            result.reason = self.refused[result.row.name] = str(error).strip().splitlines()[-1]
            progress.skip(1, f"{what}: {result.reason}")
            return False
        result.runs[seed] = values
        if seed == 0 and self._draws_artifacts(part):
            result.places = self._runs.places(wanted, params)
        if any(value for key, value in values.items() if key.startswith("pretrain_") and key.endswith(".collapsed")):
            result.collapsed.append(seed)
        told = [f"{title} {100 * values[key]:.1f}" for key, title in _TOLD.items() if key in values]
        progress.tell(what, ", ".join(told), seconds)
        return seconds > 0
