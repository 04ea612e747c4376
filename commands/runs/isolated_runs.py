"""Runs of single stages in folders of their own, under names that say what decided them."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline_lib.artifacts.folder import write_json
from pipeline_lib.base.errors import UserError

FINISHED = "finished.json"
LOG = "log.txt"


def is_finished(folder: Path) -> bool:
    """Whether a stage has ended in ``folder``."""
    return (folder / FINISHED).is_file()


def deciding_settings(tree: Mapping[str, Any], key: str) -> Any:
    """Value of a dotted key of ``params.yaml``."""
    value: Any = tree
    for part in key.split("."):
        value = value[part]
    return value


def run_apart(folder: Path, stage: str, inputs: Mapping[Path, Path], run: Callable[[Path], None]) -> float:
    """Run a stage in a folder of its own, its output in ``log.txt`` there.

    Args:
        folder: Where the results lie afterwards.
        stage: Name of the stage.
        inputs: Folders that the stage reads, by their path below its root.
        run: Runs the stage below the root it is given.

    Returns:
        Seconds that it took.
    """
    # Another process may be at the same stage: each works under a name of its own, and the first to end counts.
    working = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(working, ignore_errors=True)
    working.mkdir(parents=True)
    for place, source in inputs.items():
        link = working / place
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(source.resolve(), target_is_directory=True)
    started = time.monotonic()
    try:
        with _output_to(working / LOG):
            run(working)
    except (UserError, KeyboardInterrupt):
        shutil.rmtree(working)
        raise
    except Exception:
        print(f"{stage} failed; what it said is in {working / LOG}", file=sys.stderr, flush=True)
        raise
    seconds = time.monotonic() - started
    write_json(working / FINISHED, {"stage": stage, "seconds": round(seconds, 2)})
    try:
        working.rename(folder)
    except OSError:
        shutil.rmtree(working)
        if not is_finished(folder):
            raise
    return seconds


@contextlib.contextmanager
def _output_to(path: Path) -> Iterator[None]:
    with path.open("w", encoding="utf-8") as log, contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
        yield
