"""Make the rows of a named experiment set and its tables: ``python -m commands.ablation ladder --data digits``."""

from __future__ import annotations

import argparse
from pathlib import Path

from commands.runs.ablation_runs import Plan, checked_runs
from commands.runs.stage_graph import read_stage_graph
from pipeline_lib.experiments.definitions import load_definitions
from pipeline_lib.experiments.published import load_published
from pipeline_lib.experiments.report import write_report
from pipeline_lib.experiments.results import Lookup
from pipeline_lib.params.overrides import parsed_settings
from pipeline_lib.params.presets import load_presets
from stages._context import one_line_errors

REPORTS = Path("reports/ablations")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m commands.ablation",
        description="Run a named set of experiments and write its tables; without a name, list the sets.",
    )
    parser.add_argument("name", nargs="?", help="set, a key of sets in conf/ablations.yaml")
    parser.add_argument("--data", help="data set, or several with commas (default: the suite's)")
    parser.add_argument(
        "--backbone", help="backbone of all data sets, or one for each, with commas (default: the suite's)"
    )
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="runs with the seeds 0 to N - 1 (default: 1)")
    parser.add_argument(
        "--preset", action="append", default=[], metavar="NAME", help="settings that all rows start from"
    )
    parser.add_argument("-S", dest="settings", action="append", default=[], metavar="KEY=VALUE", help="likewise; wins")
    return parser.parse_args()


def main() -> None:
    """Run what is missing, write the report of each run, or one of all, and print the tables."""
    given, definitions = arguments(), load_definitions()
    if given.name is None:
        print("\n".join(f"{name:<18}{chosen.title}" for name, chosen in definitions.sets.items()))
        return
    experiments = definitions.set_named(given.name)
    single = parsed_settings(given.settings)
    settings = load_presets().settings(given.preset) | single
    plan = Plan(given.name, definitions, read_stage_graph(), settings, single, given.seeds)
    results = [plan.results(data, backbone) for data, backbone in checked_runs(given.data, given.backbone, settings)]
    lookup = Lookup(load_published(), definitions)
    shown = {key: value for key, value in settings.items() if not key.startswith("suite.")}
    for reported in [results] if experiments.over_data_sets else [[result] for result in results]:
        remarks = plan.remarks()
        print(write_report(REPORTS, given.name, experiments, reported, lookup, given.seeds, shown, remarks))
    print(f"written to {REPORTS}/{given.name}*")


if __name__ == "__main__":
    with one_line_errors():
        main()
