"""Files of a stage that are written row by row, kept over an interruption with how far each process has come."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from pipeline_lib.artifacts.folder import repository_root, write_atomically

_READY = "ready"


class Unfinished:
    """A folder under ``scratch/`` for one run's files; that of another run under the same name is removed.

    Args:
        stage: Name of the stage.
        run: Name of the run.
        fingerprint: What :func:`pipeline_lib.artifacts.resume.run_fingerprint` gave: a run with other settings, inputs,
            code or number of processes starts anew.
        rank: Number of this process.
        seconds: Least time between two records of how far it has come.

    Attributes:
        folder: The folder.
        found: Whether an interrupted run left its files.
    """

    def __init__(self, stage: str, run: str, fingerprint: str, *, rank: int = 0, seconds: float = 60.0) -> None:
        self._of_run = repository_root() / "scratch" / stage / run
        self.folder = self._of_run / fingerprint
        self.found = (self.folder / _READY).is_file()
        self._rank = rank
        self._seconds = seconds
        self._last = time.monotonic()

    def new(self) -> Path:
        """Make the folder, without what other settings left; what is written into it before the first row counts."""
        shutil.rmtree(self._of_run, ignore_errors=True)
        self.folder.mkdir(parents=True)
        return self.folder

    def done(self, part: str) -> int:
        """Rows of a part that this process had written when it last kept a record."""
        record = self._record(part)
        return int(record.read_text()) if self.found and record.is_file() else 0

    def due(self) -> bool:
        """Whether the time between two records has passed."""
        return time.monotonic() - self._last >= self._seconds

    def keep(self, part: str, rows: int) -> None:
        """Record that the first ``rows`` rows of a part of this process are on the disk."""
        write_atomically(self._record(part), str(rows))
        write_atomically(self.folder / _READY, "")
        self._last = time.monotonic()

    def discard(self) -> None:
        """Remove the folder: all is written."""
        shutil.rmtree(self._of_run, ignore_errors=True)

    def _record(self, part: str) -> Path:
        return self.folder / f"{part}-{self._rank}.rows"
