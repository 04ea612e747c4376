"""Arguments and paths of the SegIns stages, beside what all stages share."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pipeline_lib.artifacts.folder import write_json
from pipeline_lib.base.errors import UserError
from pipeline_lib.params.params import Params, load_params
from stages._context import StageContext, one_line_errors

Option = Literal["data", "method", "given", "start", "target"]
_HELP = {
    "data": "data set, of segins_suite.sets in params.yaml",
    "method": "pretraining method, of segins_suite.method",
    "given": "checkpoint that is not trained here, of segins_suite.given",
    "start": "checkpoint that the transfer starts from, of segins_suite.start",
    "target": "data set with boxes and masks, of segins_suite.target",
}


@dataclass(frozen=True)
class SegInsContext(StageContext):
    """Parameters and paths of one SegIns stage."""

    def made_by(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """What ``meta.json`` records of the origin: also method, start and target."""
        names = {key: getattr(self, key) for key in ("method", "start", "target") if getattr(self, key)}
        made = super().made_by(settings)
        made.pop("backbone")
        return made | names

    def write_metrics(self, values: Mapping[str, Any], name: str | None = None) -> None:
        """Write ``metrics/segins/<data>/<stage>[-method][-start][-target].json``, with no times in it."""
        parts = (name or self.stage, self.method, self.start, self.target)
        file = "-".join(part for part in parts if part) + ".json"
        write_json(self.root / "metrics" / "segins" / self.data / file, values)

    def transfer(self, kind: str) -> Path:
        """Artifact of a transfer, below ``data/transfer/<data>``, which the report depends on as a whole."""
        return self.root / "data" / "transfer" / self.data / f"{kind}-{self.start}-{self.target}"


def segins_context(stage: str, description: str, options: Sequence[Option]) -> SegInsContext:
    """Parse the command line; what is not given is the first of its list in ``segins_suite``.

    Args:
        stage: Name of the stage.
        description: One sentence for ``--help``.
        options: Which of data, method, given, start and target the stage has.

    Returns:
        The context; ``given`` is in its ``start``.

    Raises:
        UserError: A name is unknown or params.yaml is not valid.
    """
    parser = argparse.ArgumentParser(prog=f"python -m stages.{stage}", description=description)
    for option in options:
        parser.add_argument(f"--{option}", help=_HELP[option])
    arguments = vars(parser.parse_args())
    params = load_params()
    chosen: dict[str, str] = {option: _chosen(params, option, arguments[option]) for option in options}
    if "given" in chosen:
        chosen["start"] = chosen.pop("given")
    return SegInsContext(
        stage,
        params,
        chosen.get("data", ""),
        "",
        method=chosen.get("method", ""),
        start=chosen.get("start", ""),
        target=chosen.get("target", ""),
    )


def _chosen(params: Params, option: Option, given: str | None) -> str:
    suite = params.segins_suite
    allowed: tuple[str, ...] = suite.sets if option == "data" else getattr(suite, option)
    if given is not None and given not in allowed:
        raise UserError(f"--{option} {given}: not one of {', '.join(allowed)}")
    return given or allowed[0]


def run_segins_stage(
    run: Callable[[SegInsContext], None], stage: str, description: str, options: Sequence[Option]
) -> None:
    """Run a stage from the command line; what the user can mend ends it with one line and exit code 1.

    Args:
        run: The stage.
        stage: Its name.
        description: One sentence for ``--help``.
        options: Which of data, method, given, start and target the stage has.
    """
    with one_line_errors():
        run(segins_context(stage, description, options))
