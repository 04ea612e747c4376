"""Run a named set of SegIns experiments over seeds: ``python -m commands.segins_experiments seeds --seeds 3``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from commands.runs.segins_chain import SegInsChain
from commands.runs.segins_plan import Choice, SegInsPlan
from pipeline_lib.experiments.segins_definitions import load_definitions
from pipeline_lib.experiments.segins_published import load_published
from pipeline_lib.experiments.segins_report import Facts, write_report
from pipeline_lib.experiments.segins_results import RowResult
from pipeline_lib.params.overrides import parsed_settings
from pipeline_lib.params.presets import load_presets
from stages._context import one_line_errors

REPORTS = Path("reports/segins-experiments")
SCRATCH = Path("scratch/segins")
EVALUATIONS = ("linear_eval", "detection", "segmentation")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m commands.segins_experiments",
        description="Run a named set of SegIns experiments and write its tables; without a name, list the sets.",
    )
    parser.add_argument("name", nargs="?", help="set, a key of sets in conf/segins_experiments.yaml")
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="runs with the seeds 0 to N - 1 (default: 1)")
    parser.add_argument("--data", help="data set of the pretraining (default: the first of segins_suite)")
    parser.add_argument("--target", help="data set transferred to (default: --data, or the first of segins_suite)")
    parser.add_argument("--method", choices=("simsiam", "moco"), help="method, where the set has one")
    parser.add_argument("--rows", default="", metavar="NAME,NAME", help="rows to run, by their names (default: all)")
    parser.add_argument("--only", nargs="+", default=[], choices=EVALUATIONS, help="evaluations (default: all)")
    parser.add_argument(
        "--preset", action="append", default=[], metavar="NAME", help="settings that all rows start from"
    )
    parser.add_argument("-S", dest="settings", action="append", default=[], metavar="KEY=VALUE", help="likewise; wins")
    return parser.parse_args()


def main() -> None:
    """Run what is missing, write the report after each run, and print the tables."""
    given, definitions = arguments(), load_definitions()
    if given.name is None:
        print("\n".join(f"{name:<10}{chosen.title}" for name, chosen in definitions.sets.items()))
        return
    experiments, published = definitions.set_named(given.name), load_published()
    single = parsed_settings(given.settings)
    settings = load_presets().settings(given.preset) | single
    rows = tuple(name.strip() for name in given.rows.split(",") if name.strip())
    choice = Choice(given.name, given.seeds, given.data, given.target, given.method, rows, tuple(given.only))
    plan = SegInsPlan(experiments, choice, settings, single)
    pretrain = plan.params.pretrain
    facts = Facts(
        data=plan.data,
        target=plan.target,
        architecture=pretrain.architecture,
        epochs=pretrain.epochs,
        multi_crop=pretrain.local_crops > 0,
        detection_metric=plan.params.detection.metric,
        seeds=choice.seeds,
        settings={key: value for key, value in settings.items() if not key.startswith("segins_suite.")},
    )
    path = REPORTS / "-".join(filter(None, (given.name, given.method, plan.data)))

    def write(results: list[RowResult]) -> str:
        return write_report(path, experiments, results, published, facts, plan.gaps)

    results = plan.run(SegInsChain(Path(), SCRATCH), write)
    print(write(results))
    print(f"written to {path}.md and {path}.csv")
    if any(result.reason for result in results):
        sys.exit("error: " + "; ".join(f"{found.row.name}: {found.reason}" for found in results if found.reason))


if __name__ == "__main__":
    with one_line_errors():
        main()
