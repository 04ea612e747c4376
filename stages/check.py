"""Refuse a params.yaml with unknown keys or impossible values before any other stage works."""

from __future__ import annotations

from pathlib import Path

from pipeline_lib.artifacts.folder import write_atomically
from pipeline_lib.params.lengths import unequal_lengths
from pipeline_lib.params.params import load_params
from stages._context import one_line_errors, warn


def main() -> None:
    """Check params.yaml; the output is the same for every valid file, so nothing downstream runs again."""
    warn(unequal_lengths(load_params()))
    write_atomically(Path("data/checks/params.ok"), "valid\n")


if __name__ == "__main__":
    with one_line_errors():
        main()
