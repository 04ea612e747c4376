"""Compare variants of the SegIns chain over seeds: ``python -m stages.segins_experiments seeds --seeds 3``."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline_lib.errors import UserError
from pipeline_lib.overrides import parsed_settings
from pipeline_lib.params import Params, load_params
from pipeline_lib.segins_report.experiments import Row, load_sets, set_named, write_tables
from pipeline_lib.segins_report.figures import DETECTION, MEASURES, SEGMENTATION
from stages.command_line import one_line_errors
from stages.segins_steps import Runner, chain

REPORTS = Path("reports/segins-experiments")
SCRATCH = Path("scratch/segins")
_SEEDED = ("pretrain", "masks", "linear_eval", "detection", "segmentation")
_SHOWN = (*MEASURES, *DETECTION, *SEGMENTATION)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m stages.segins_experiments", description=__doc__)
    parser.add_argument("name", nargs="?", help="set, a key of conf/segins_experiments.yaml; none: list them")
    parser.add_argument("--data", help="data set of the pretraining (default: the suite's first)")
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="runs with the seeds 0 to N - 1")
    parser.add_argument("-S", dest="settings", action="append", default=[], metavar="KEY=VALUE", help="of all variants")
    return parser.parse_args()


def run_variant(params: Params, data: str, starts: tuple[str, ...], title: str) -> dict[str, dict[str, float]]:
    """Run the chain once; metrics by start."""
    runner = Runner(params, data, Path(), SCRATCH)
    steps = list(chain(params, data, starts))
    found: dict[str, dict[str, float]] = {start: {} for start in starts}
    for number, step in enumerate(steps, start=1):
        seconds = runner.run(step)
        print(f"{title} {number}/{len(steps)}: {step.title} [{f'{seconds:.0f} s' if seconds else 'there already'}]")
        start = dict(step.options).get("start")
        if start in found:
            metrics = runner.metrics(step)
            found[start] |= {key: float(metrics[key]) for key in _SHOWN if metrics.get(key) is not None}
    return found


def seeded(settings: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Settings with one seed for all random parts but the data."""
    return {**settings, **{f"{section}.seed": seed for section in _SEEDED}}


def main() -> None:
    """Run what is missing, write the tables and print them."""
    given, sets = arguments(), load_sets()
    if given.name is None:
        print("\n".join(f"{name:<10}{chosen.title}" for name, chosen in sets.items()))
        return
    if given.seeds < 1:
        raise UserError(f"--seeds {given.seeds}: allowed: 1 or more")
    experiments, settings = set_named(sets, given.name), parsed_settings(given.settings)
    variants = {
        name: [load_params(changes=seeded(settings | own, seed)) for seed in range(given.seeds)]
        for name, own in experiments.variants.items()
    }
    suite = load_params(changes=settings).segins_suite
    data = given.data or suite.data[0]
    if data not in suite.sets:
        raise UserError(f"--data {data}: not one of {', '.join(suite.sets)}")
    starts = experiments.starts or suite.start
    rows = []
    for name, seeds in variants.items():
        runs = [run_variant(params, data, starts, f"{given.name} {name} seed {s}") for s, params in enumerate(seeds)]
        rows += [Row(name, start, tuple(run[start] for run in runs)) for start in starts]
    changed = ", ".join(f"{key} = {value}" for key, value in settings.items())
    note = f"Settings: params.yaml{f', {changed}' if changed else ''}."
    title = f"{experiments.title}: {data}"
    print(write_tables(REPORTS, f"{given.name}-{data}", title, rows, given.seeds, note))


if __name__ == "__main__":
    with one_line_errors():
        main()
