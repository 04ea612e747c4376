"""How far work has come: a bar over the items of a stage, and a line for each of a set of runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import Any, TypeVar

from tqdm import tqdm

T = TypeVar("T")


def progress(items: Iterable[T], description: str, total: int | None = None, unit: str = "it") -> tqdm[T]:
    """Progress bar with the time left, on a terminal's standard error only: quiet in CI and in log files.

    Args:
        items: What to iterate over.
        description: Short text before the bar.
        total: Number of items where ``len(items)`` is not known.
        unit: Word for one item.

    Returns:
        A tqdm bar over ``items``.
    """
    quiet = not sys.stderr.isatty() or bool(os.environ.get("CI")) or int(os.environ.get("RANK", "0")) > 0
    options: dict[str, Any] = {"desc": description, "total": total, "unit": unit}
    return tqdm(items, disable=quiet, dynamic_ncols=True, leave=False, **options)


class Progress:
    """One line a run, with the time left if all runs to come take as long as those since the first that was made.

    Args:
        title: What is run.
        total: Number of runs.
    """

    def __init__(self, title: str, total: int) -> None:
        self._title, self._total, self._done = title, total, 0
        self._seconds: list[float] = []

    def tell(self, what: str, found: str, seconds: float) -> None:
        """Count a run and print its line.

        Args:
            what: Which run it was.
            found: Its main measures; empty where there are none.
            seconds: Time that its stages took now; 0 where all of them had been made before.
        """
        self._done += 1
        # Rows that share a run take no time; those before the first that was made say nothing of the others.
        if seconds or self._seconds:
            self._seconds.append(seconds)
        took = f"{seconds:.0f} s" if seconds else "there already"
        left = self._total - self._done
        expected = sum(self._seconds) / len(self._seconds) * left if self._seconds else 0.0
        still = f"; about {_duration(expected)} left" if left and expected else ""
        told = f": {found}" if found else ""
        print(f"{self._title} {self._done}/{self._total}: {what}{told} [{took}{still}]", flush=True)

    def skip(self, runs: int, what: str) -> None:
        """Count runs that are not made."""
        self._done += runs
        print(f"{self._title} {self._done}/{self._total}: {what}", flush=True)


def _duration(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 90
        else f"{seconds / 60:.0f} min"
        if seconds < 5400
        else f"{seconds / 3600:.1f} h"
    )
