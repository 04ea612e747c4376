"""What all stage scripts share: arguments with the standard paths, metrics, and one-line errors."""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pipeline_lib.artifacts.folder import write_json
from pipeline_lib.base.errors import UserError
from pipeline_lib.params.lengths import unequal_lengths
from pipeline_lib.params.params import Params, load_params

Option = Literal["data", "method", "given", "start", "target"]
_HELP = {
    "data": "data set, of segins_suite.sets in params.yaml",
    "method": "pretraining method, of segins_suite.method",
    "given": "checkpoint that is not trained here, of segins_suite.given",
    "start": "checkpoint that the transfer starts from, of segins_suite.start",
    "target": "data set with boxes and masks, of segins_suite.target",
}


@dataclass(frozen=True)
class StageContext:
    """Parameters and paths of one stage run.

    Attributes:
        stage: Name of the stage.
        params: The validated parameters.
        data: Name of the data set.
        backbone: Name of the backbone; empty for stages that come before it.
        method: Pretraining method, such as ``moco``; empty for stages without one.
        start: Checkpoint that a transfer starts from, such as ``moco-segins``; empty elsewhere.
        target: Data set that is transferred to; empty elsewhere.
        root: Folder in which artifacts, metrics and reports lie.
        started: Monotonic time of the start, seconds.
    """

    stage: str
    params: Params
    data: str
    backbone: str
    root: Path = Path()
    method: str = ""
    start: str = ""
    target: str = ""
    started: float = field(default_factory=time.monotonic)

    @property
    def run(self) -> str:
        """Name of the run: data set, and backbone, method, start and target where the stage has them."""
        return "-".join(part for part in (self.data, self.backbone, self.method, self.start, self.target) if part)

    def artifact(self, kind: str) -> Path:
        """Folder of an artifact of this run."""
        return self.root / "data" / kind / (self.data if kind in ("raw", "datasets") else self.run)

    def images(self, data: str | None = None) -> Path:
        """Dataset artifact of the SegIns chain; ``data``: of another data set than the run's."""
        return self.root / "data" / "annotated" / (data or self.data) / "images"

    def objects(self, data: str | None = None) -> Path:
        """Objects artifact of the SegIns chain."""
        return self.root / "data" / "annotated" / (data or self.data) / "objects"

    def checkpoint(self, name: str) -> Path:
        """Checkpoint artifact, for example ``moco-baseline`` or ``random``."""
        return self.root / "data" / "checkpoints" / self.data / name

    def masks(self) -> Path:
        """Masks artifact of the run's method."""
        return self.root / "data" / "masks" / self.data / self.method

    @property
    def seed(self) -> int:
        """Seed of the chain."""
        return self.params.suite.seed

    def made_by(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """What ``meta.json`` records of the origin.

        Settings of the machine are not among it: they decide no result, and equal artifacts have to have equal bytes,
        so that DVC runs nothing downstream again when only they change.
        """
        return {"stage": self.stage, "data": self.data, "backbone": self.backbone, "settings": dict(settings)}

    def write_metrics(self, values: Mapping[str, Any], name: str | None = None) -> None:
        """Write ``metrics/<run>/<stage>.json``, with no times in it: equal results make equal files."""
        write_json(self.root / "metrics" / self.run / f"{name or self.stage}.json", values)

    def report(self, text: str) -> None:
        """Say on standard output what the stage did, with its time and peak memory."""
        seconds = time.monotonic() - self.started
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        name = f"{self.stage}@{self.run}" if self.run else self.stage
        print(f"{name}: {text} [{seconds:.1f} s, peak {peak:.2f} GB]", flush=True)


def stage_context(stage: str, description: str, *, with_backbone: bool = True, package: str = "stages") -> StageContext:
    """Parse the command line; data set and backbone default to the first of the suite.

    Args:
        stage: Name of the stage.
        description: One sentence for ``--help``.
        with_backbone: Whether the stage depends on the backbone.
        package: Where its module lies.

    Returns:
        The context.

    Raises:
        UserError: A name is unknown or params.yaml is not valid.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {package}.{stage}", description=description)
    parser.add_argument("--data", help="data set, a key of datasets in params.yaml (default: the suite's first)")
    if with_backbone:
        parser.add_argument("--backbone", help="backbone, a key of backbones (default: the suite's first)")
    arguments = parser.parse_args()
    params = load_params()
    data = arguments.data or params.suite.data[0]
    backbone = (arguments.backbone or params.suite.backbone[0]) if with_backbone else ""
    if data not in params.datasets:
        raise UserError(f"--data {data}: not one of {', '.join(params.datasets)}")
    if with_backbone and backbone not in params.backbones:
        raise UserError(f"--backbone {backbone}: not one of {', '.join(params.backbones)}")
    return StageContext(stage, params, data, backbone)


def chosen_blocks(context: StageContext, available: Iterable[str], default: Sequence[str]) -> tuple[str, ...]:
    """Feature blocks that neighbours and heads see: ``features.blocks``, or of the backbone's default ones all or one.

    Raises:
        UserError: A block was not extracted.
    """
    chosen = context.params.features.blocks
    by_name = {"default": tuple(default), "first": tuple(default[:1])}
    blocks = by_name[chosen] if isinstance(chosen, str) else tuple(chosen)
    for block in blocks:
        if block not in available:
            allowed = ", ".join(available)
            raise UserError(
                f"features.blocks = {list(blocks)}: {context.run} has no block {block!r}; allowed: {allowed}"
            )
    return blocks


def run_stage(
    run: Callable[[StageContext], None],
    stage: str,
    description: str,
    *,
    with_backbone: bool = True,
    package: str = "stages",
) -> None:
    """Run a stage from the command line; what the user can mend ends it with one line and exit code 1.

    Args:
        run: The stage.
        stage: Its name.
        description: One sentence for ``--help``.
        with_backbone: Whether the stage depends on the backbone.
        package: Where its module lies.
    """
    with one_line_errors():
        run(stage_context(stage, description, with_backbone=with_backbone, package=package))


@contextmanager
def one_line_errors() -> Iterator[None]:
    """End the program with one line and exit code 1 where the user can mend the error."""
    try:
        yield
        sys.stdout.flush()
    except UserError as error:
        sys.exit(f"error: {error}")
    except BrokenPipeError:
        # The reader of a pipe, such as head, has seen enough; what is left must not fail again at the exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        print("interrupted; run the same command again (training goes on where it stopped)", file=sys.stderr)
        sys.exit(130)


def warn(lines: Iterable[str]) -> None:
    """Say on standard error what may not be meant."""
    for line in lines:
        print(f"warning: {line}", file=sys.stderr, flush=True)


@dataclass(frozen=True)
class SegInsContext(StageContext):
    """Parameters and paths of one SegIns stage."""

    @property
    def seed(self) -> int:
        """Seed of the chain."""
        return self.params.segins_suite.seed

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
    warn(unequal_lengths(params, (stage,)))
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
