"""From an experiment set to its runs: settings of every row and seed, which stages they need, progress."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from commands.runs.experiments import Experiments
from commands.runs.progress import Progress
from commands.runs.stage_graph import StageGraph
from pipeline_lib.base.errors import UserError
from pipeline_lib.base.yaml_files import unknown_name
from pipeline_lib.experiments.definitions import Definitions, Group, Row, scaled
from pipeline_lib.experiments.results import RowResult, RunResults
from pipeline_lib.params.params import load_params

SCRATCH = Path("scratch/ablations")


def checked_runs(data: str | None, backbone: str | None, settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Pairs of data set and backbone.

    Args:
        data: Data sets with commas; ``None`` for those of the suite.
        backbone: One backbone for all or one for each, with commas; ``None`` for those of the suite.
        settings: Changes to ``params.yaml``.

    Returns:
        The pairs.

    Raises:
        UserError: A name is unknown, or there are neither one nor as many backbones as data sets.
    """
    params = load_params(changes=settings)
    sets = [name.strip() for name in data.split(",")] if data is not None else list(params.suite.data)
    backbones = [name.strip() for name in backbone.split(",")] if backbone is not None else list(params.suite.backbone)
    for option, names, known in (("--data", sets, params.datasets), ("--backbone", backbones, params.backbones)):
        for name in names:
            if name not in known:
                raise UserError(f"{option} {name}: {unknown_name(name, known)}")
    if len(backbones) not in (1, len(sets)):
        raise UserError(f"--backbone {','.join(backbones)}: allowed: one, or one for each of the {len(sets)} data sets")
    return list(zip(sets, backbones * len(sets) if len(backbones) == 1 else backbones, strict=True))


def seeded(seed: int) -> dict[str, int]:
    """The seed of the chain; the images keep their own."""
    return {"suite.seed": seed}


class Plan:
    """All runs of one set.

    Args:
        name: Name of the set.
        definitions: All sets.
        graph: The stages.
        settings: Changes to ``params.yaml`` that all rows start from.
        single: Those of them that the user gave one by one; no row may change them.
        seeds: Number of seeds.

    Raises:
        UserError: The number of seeds is not possible, or the settings include a key that the rows decide.
    """

    def __init__(
        self,
        name: str,
        definitions: Definitions,
        graph: StageGraph,
        settings: Mapping[str, Any],
        single: Mapping[str, Any],
        seeds: int,
    ) -> None:
        if seeds < 1:
            raise UserError(f"--seeds {seeds}: allowed: 1 or more")
        self._name, self._definitions, self._graph = name, definitions, graph
        self._set, self._settings, self._seeds = definitions.set_named(name), dict(settings), seeds
        self._rows = list(zip(self._set.rows, definitions.row_settings(name), strict=True))
        self._absent: set[str] = set()
        for row, own in self._rows:
            for key in own:
                if key in single and not isinstance(own[key], dict):
                    raise UserError(f"-S {key}={single[key]}: the rows of {name} set this key; allowed: other keys")
            self._check(row, own)

    def _check(self, row: Row, own: Mapping[str, Any]) -> None:
        """Every row is possible before the first one runs."""
        load_params(changes=self._settings | scaled(own, self._current(own)))
        for group, measure in self._shown(row):
            if self._file(group, measure, own) is None:
                names = {key.split(".")[0] for key in group.metrics(measure, own)}
                self._absent |= {f"{group.title}: no stage writes {' or '.join(sorted(names))}.json"}

    def _current(self, own: Mapping[str, Any]) -> dict[str, Any]:
        """Values, without the row, of the keys that the row sets."""
        tree = load_params(changes=self._settings).model_dump()
        current: dict[str, Any] = {}
        for key in own:
            value: Any = tree
            for part in key.split("."):
                value = value.get(part) if isinstance(value, dict) else None
            current[key] = value
        return current

    def _shown(self, row: Row) -> Iterator[tuple[Group, str]]:
        """Groups and measures that the tables show of a row."""
        names = [row.shows] if row.shows else [name for table in self._set.tables for name in table.groups]
        for group in (self._definitions.groups[name] for name in names):
            for measure in group.measures:
                yield group, measure

    def _file(self, group: Group, measure: str, settings: Mapping[str, Any]) -> str | None:
        """Metric file that holds a measure; the first one that a stage writes."""
        files = [key.split(".")[0] for key in group.metrics(measure, settings)]
        return next((name for name in files if name in self._graph.metrics), None)

    def remarks(self) -> list[str]:
        """What could not be measured."""
        return [f"Not measured: {text}." for text in sorted(self._absent)]

    def results(self, data: str, backbone: str) -> RunResults:
        """Run all rows with all seeds, or read what was run before, with a line of progress each.

        Raises:
            UserError: The data set has no labels, or a row cannot be run.
        """
        experiments = Experiments(self._graph, data, backbone, Path(), SCRATCH)
        single = len(experiments.feature_blocks()) == 1
        if not experiments.labelled():
            raise UserError(f"--data {data}: its val split has no labels, which the tables of {self._name} need")
        progress = Progress(f"{self._name} {data}-{backbone}", self._seeds * len(self._rows))
        rows = []
        for row, own in self._rows:
            settings = {k: v for k, v in own.items() if not (single and k == "features.blocks")}
            reason = f"does not apply: {backbone} gives one block of features" if single and row.needs else ""
            runs = []
            for seed in range(self._seeds) if not reason else ():
                changes = self._settings | scaled(settings, self._current(settings))
                params = load_params(changes=changes | seeded(seed))
                files = {self._file(group, measure, settings) for group, measure in self._shown(row)} - {None}
                figures, seconds = experiments.figures(sorted(map(str, files)), params)
                accuracy = figures.get("ucls.best_head_acc")
                found = "" if accuracy is None else f"best head ACC {100 * accuracy:.2f}"
                progress.tell(f"{row.name}, seed {seed}", found, seconds)
                runs.append(figures)
            if reason:
                progress.skip(self._seeds, f"{row.name}: {reason}")
            rows.append(RowResult(row, settings, runs, reason))
        return RunResults(data, backbone, rows)
