"""From an experiment set of the SegIns chain to its runs: names and settings of every row and seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from commands.runs.progress import Progress
from commands.runs.segins_chain import SegInsChain
from pipeline_lib.base.errors import UserError
from pipeline_lib.base.yaml_files import unknown_name
from pipeline_lib.experiments.segins_definitions import ExperimentSet, Method, Row
from pipeline_lib.experiments.segins_measures import MEASURES, applies, metric_file, value_of
from pipeline_lib.experiments.segins_results import RowResult
from pipeline_lib.params.params import Params, load_params

TOLD = ("top1", "ap", "coco_ap", "frozen_miou", "fine_tuned_miou")
"""Measures that the line of progress tells."""


@dataclass(frozen=True)
class Choice:
    """What the command line chooses.

    Attributes:
        name: Name of the set.
        seeds: Number of seeds; they are 0 to ``seeds - 1``.
        data: Data set of the pretraining; ``None``: the suite's first.
        target: Data set transferred to; ``None``: the suite's first, or ``data`` where that is given.
        method: Pretraining method; ``None``: the set's.
        rows: Names of the rows to run; empty: all.
        stages: Evaluations to run; empty: all that the tables show.
    """

    name: str
    seeds: int
    data: str | None = None
    target: str | None = None
    method: Method | None = None
    rows: tuple[str, ...] = ()
    stages: tuple[str, ...] = ()


class SegInsPlan:
    """All runs of one set.

    Args:
        experiments: The set.
        choice: What to run of it.
        settings: Changes to ``params.yaml`` that all rows start from.
        single: Those of them that the user gave one by one; no row may change them.

    Attributes:
        rows: The rows that are run.
        gaps: Rows that are left out, with the reason.
        params: Parameters without any row's settings.

    Raises:
        UserError: The number of seeds or a name is not possible, or ``single`` includes a key that a row decides.
    """

    def __init__(
        self, experiments: ExperimentSet, choice: Choice, settings: Mapping[str, Any], single: Mapping[str, Any]
    ) -> None:
        if choice.seeds < 1:
            raise UserError(f"--seeds {choice.seeds}: allowed: 1 or more")
        self._choice, self._tables = choice, experiments.tables
        self._settings = dict(settings) | _names(choice, settings)
        self.params = load_params(changes=self._settings)
        suite = self.params.segins_suite
        self.data, self.target = suite.data[0], suite.target[0]
        self.gaps: dict[str, str] = {}
        self.rows: list[Row] = []
        for row in _chosen(experiments.filled_rows(choice.method), choice.rows):
            for key in row.settings:
                if key in single:
                    raise UserError(f"-S {key}={single[key]}: the rows of {choice.name} set this key; allowed: others")
            if row.start not in (*suite.pretrained(), *suite.given):
                self.gaps[row.name] = f"{row.start} is not in segins_suite"
                continue
            # Every row is possible before the first one runs.
            load_params(changes=self._settings | row.settings)
            self.rows.append(row)

    def run(self, chain: SegInsChain, after_run: Callable[[list[RowResult]], object]) -> list[RowResult]:
        """Run all rows, one seed after the other, or read what was run before, with a line of progress each.

        A row that a stage refuses is left out with the reason, and the others go on.

        Args:
            chain: Runs the stages.
            after_run: Called after each run with the rows as far as they have run.

        Returns:
            The rows.

        Raises:
            UserError: No row can be run.
        """
        results = [RowResult(row) for row in self.rows]
        progress = Progress(f"{self._choice.name} {self.data}", len(results) * self._choice.seeds)
        for seed in range(self._choice.seeds):
            for result in results:
                what = f"{result.row.name}, seed {seed}"
                if result.reason:
                    progress.skip(1, f"{what}: not run")
                    continue
                try:
                    values, seconds = self._one_run(chain, result, seed)
                except UserError as error:
                    # An error from a worker process comes with its traceback before it.
                    result.reason = str(error).strip().splitlines()[-1]
                    progress.skip(1, f"{what}: {result.reason}")
                    continue
                result.runs[seed] = values
                after_run(results)
                told = [name for name in TOLD if name in values]
                found = ", ".join(f"{MEASURES[name].title} {100 * values[name]:.1f}" for name in told)
                progress.tell(what, found, seconds)
        if results and all(result.reason for result in results):
            raise UserError(results[0].reason)
        return results

    def _one_run(self, chain: SegInsChain, result: RowResult, seed: int) -> tuple[dict[str, float], float]:
        changes = self._settings | result.row.settings
        params = load_params(changes=changes | _seeded(seed))
        files = self._files(result.row, params)
        content, seconds = chain.metrics(dict.fromkeys(files.values()), params)
        if any(values.get("collapsed") for path, values in content.items() if path.name.startswith("pretrain_")):
            result.collapsed.append(seed)
        values = {measure: value_of(measure, content[path]) for measure, path in files.items()}
        return {measure: value for measure, value in values.items() if value is not None}, seconds

    def _files(self, row: Row, params: Params) -> dict[str, Path]:
        """Metric file of each measure that the tables show of a row."""
        evaluations = self._choice.stages
        files = {}
        for measure in dict.fromkeys(measure for table in self._tables for measure in table.measures):
            stage = MEASURES[measure].stage
            wanted = stage in ("masks", "pretrain") or not evaluations or stage in evaluations
            path = metric_file(measure, self.data, row.start, self.target)
            if wanted and path is not None and applies(measure, params.detection.metric):
                files[measure] = path
        return files


def _names(choice: Choice, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The suite of one data set and one target."""
    params = load_params(changes=settings)
    suite = params.segins_suite
    data = choice.data or suite.data[0]
    target = choice.target or choice.data or suite.target[0]
    for option, name in (("--data", data), ("--target", target)):
        if name not in params.datasets:
            raise UserError(f"{option} {name}: {unknown_name(name, params.datasets)}")
    return {
        "segins_suite.data": [data],
        "segins_suite.target": [target],
        "segins_suite.sets": list(dict.fromkeys([data, target])),
    }


def _chosen(rows: Sequence[Row], names: Sequence[str]) -> list[Row]:
    known = [row.name for row in rows]
    for name in names:
        if name not in known:
            raise UserError(f"--rows {name}: {unknown_name(name, known)}")
    return [row for row in rows if not names or row.name in names]


def _seeded(seed: int) -> dict[str, int]:
    """The seed of the chain; the images keep their own."""
    return {"segins_suite.seed": seed}
