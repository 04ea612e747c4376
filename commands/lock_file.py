"""Mends a dvc.lock that an interruption cut short: ``python -m commands.lock_file``, which ``make repro`` runs first.

DVC writes the file in place. Ended in that moment, it leaves an empty or cut file, which every command of DVC refuses
(``'./dvc.lock' validation failed``) until somebody restores it. DVC puts the file into Git's index after every stage,
where the last whole one therefore is.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from dvc.schema import COMPILED_LOCKFILE_SCHEMA
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from voluptuous import Invalid

from pipeline_lib.artifacts.folder import write_atomically
from pipeline_lib.base.errors import UserError
from stages._context import one_line_errors

NAME = "dvc.lock"
_SOURCES = ((f":{NAME}", "Git's index"), (f"HEAD:{NAME}", "the last commit"))
_CONFLICT = b"<<<<<<<"


def is_whole(content: bytes) -> bool:
    """Whether DVC can read a lock file of this content."""
    try:
        COMPILED_LOCKFILE_SCHEMA(YAML(typ="safe").load(content.decode()))
    except (YAMLError, Invalid, UnicodeDecodeError):
        return False
    return True


def mend(root: Path) -> str | None:
    """Restore a cut lock file from Git.

    Args:
        root: Root of the repository.

    Returns:
        What was done, in one line; None where nothing had to be. A file with the marks of a merge conflict is left to
        whoever merges.

    Raises:
        UserError: Neither Git's index nor the last commit has a whole one.
    """
    path = root / NAME
    if not path.is_file():
        return None
    content = path.read_bytes()
    if is_whole(content) or _CONFLICT in content:
        return None
    for revision, source in _SOURCES:
        shown = subprocess.run(["git", "show", revision], cwd=root, capture_output=True, check=False)
        if shown.returncode == 0 and is_whole(shown.stdout):
            write_atomically(path, shown.stdout)
            return f"{NAME} was cut short ({len(content)} bytes); restored from {source}"
    raise UserError(
        f"{NAME}: cut short ({len(content)} bytes), and neither Git's index nor the last commit has a whole one; "
        "restore it, or delete it to run all stages again"
    )


def main() -> None:
    """Mend the lock file of this repository."""
    done = mend(Path())
    if done:
        print(done, flush=True)


if __name__ == "__main__":
    with one_line_errors():
        main()
