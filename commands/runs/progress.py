"""Progress of a set of runs on standard output."""

from __future__ import annotations


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
            found: Its main figures; empty where there are none.
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
