"""Run named sets of experiments over seeds and write their tables: ``python -m commands.experiments ladder``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from commands.runs.artifact_pictures import draw_picture
from commands.runs.execution import Execution
from commands.runs.plan import Choice, planned_parts
from commands.runs.row_settings import without_suites
from commands.runs.runs import Runs
from pipeline_lib.experiments.cells import Lookup
from pipeline_lib.experiments.definitions import Definitions, ExperimentSet, load_definitions
from pipeline_lib.experiments.measures import METHODS
from pipeline_lib.experiments.published import load_published
from pipeline_lib.experiments.report import Report, write_report
from pipeline_lib.experiments.results import Part, RunResults
from pipeline_lib.params.overrides import parsed_settings
from pipeline_lib.params.presets import Presets, load_presets
from stages._context import one_line_errors

REPORTS = Path("reports/experiments")
CHAPTERS = Path("reports/thesis")
SCRATCH = Path("scratch/experiments")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m commands.experiments",
        description="Run named sets of experiments and write their tables; without a name, list the sets.",
    )
    add = parser.add_argument
    add("names", nargs="*", metavar="NAME", help="sets, keys of sets in conf/experiments.yaml")
    add("--seeds", type=int, default=1, metavar="N", help="runs with the seeds 0 to N - 1 (default: 1)")
    add("--data", default="", help="data set, or several with commas (default: the set's or the suite's)")
    add("--backbone", default="", help="backbone of all data sets, or one for each, with commas (default: likewise)")
    add("--target", default="", help="data set transferred to (default: likewise, or --data where that is given)")
    add("--method", choices=tuple(METHODS), help="pretraining method, where the set has one")
    add("--rows", default="", metavar="NAME,NAME", help="rows to run, by their names (default: all)")
    add("--only", nargs="+", default=[], metavar="TABLE", help="tables by their number in the thesis, or evaluations")
    add(
        "--preset",
        action="append",
        default=[],
        metavar="NAME",
        help="settings that all rows start from, in place of bound presets",
    )
    add("-S", dest="settings", action="append", default=[], metavar="KEY=VALUE", help="likewise; wins")
    return parser.parse_args()


def main() -> None:
    """Run what is missing, write each report as it fills, and print the tables."""
    given, definitions = arguments(), load_definitions()
    if not given.names:
        print("\n".join(f"{name:<18}{chosen.title}" for name, chosen in definitions.sets.items()))
        return
    presets, lookup = load_presets(), Lookup(load_published(), definitions)
    # All are planned, and their rows checked, before the first one runs.
    planned = [prepared(choice_of(given, name, presets), definitions, presets) for name in given.names]
    refused: dict[str, str] = {}
    for choice, execution in planned:
        refused |= made(choice, execution, lookup)
    if refused:
        sys.exit("error: " + "; ".join(f"{name}: {reason}" for name, reason in refused.items()))


def choice_of(given: argparse.Namespace, name: str, presets: Presets) -> Choice:
    """What the command line chooses of one set."""
    return Choice(
        name=name,
        seeds=given.seeds,
        data=_names(given.data),
        backbone=_names(given.backbone),
        target=given.target,
        method=given.method,
        rows=_names(given.rows),
        only=tuple(given.only),
        presets=presets.settings(given.preset),
        single=parsed_settings(given.settings),
    )


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def prepared(choice: Choice, definitions: Definitions, presets: Presets) -> tuple[Choice, Execution]:
    """The runs of a set, checked."""
    parts = planned_parts(definitions, presets, choice)
    return choice, Execution(choice, parts, definitions, Runs(Path(), SCRATCH))


def made(choice: Choice, execution: Execution, lookup: Lookup) -> dict[str, str]:
    """Run a set with its reports.

    Args:
        choice: What the command line chooses.
        execution: The runs.
        lookup: The published values.

    Returns:
        Why rows could not be run, by name.
    """
    experiments = lookup.definitions.sets[choice.name]
    settings = without_suites({**choice.presets, **choice.single})

    def write(path: Path, parts: list[Part]) -> str:
        return write_report(
            Report(path, experiments, parts, choice.seeds, settings, execution.remarks, draw_picture), lookup
        )

    reports = reports_of(choice, experiments, execution.results)

    def after_run(grown: RunResults) -> None:
        for path, parts in reports.items():
            if any(run is grown for part in parts for run in part.runs):
                write(path, parts)

    execution.run(after_run)
    for path, parts in reports.items():
        print(write(path, parts))
        print(f"written to {path}.md and {path}.csv")
    return execution.refused


def reports_of(choice: Choice, experiments: ExperimentSet, results: list[Part]) -> dict[Path, list[Part]]:
    """Files of the reports, without their endings, with what goes into each.

    A set whose tables have conditions of their own, or data sets side by side, has one report; others one a run.
    """
    name = "-".join(filter(None, (choice.name, choice.method)))
    if experiments.includes:
        return {CHAPTERS / "-".join([name, *choice.data, *choice.backbone]): results}
    bound = len(results) > 1 or any(part.conditions for part in results)
    if bound or any(table.side_by_side for table in experiments.tables):
        return {REPORTS / name: results}
    return {
        REPORTS / f"{name}-{run.run}": [Part(part.tables, [run], part.conditions)]
        for part in results
        for run in part.runs
    }


if __name__ == "__main__":
    with one_line_errors():
        main()
