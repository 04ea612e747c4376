"""Print a digest of every result: ``python -m commands.digests > before``, later ``--against before``.

Two states of code or settings that should give the same results are compared by these lines. Of ``meta.json`` all
counts but ``made_by``, which records settings and versions.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from pathlib import Path

from pipeline_lib.artifacts.folder import META, file_digest
from pipeline_lib.base.errors import MissingFileError, UserError
from pipeline_lib.base.yaml_files import read_text
from stages._context import one_line_errors

FOLDERS = ("data", "metrics", "reports")
_GIVEN = ("data/raw", "data/checks")
_LINE = re.compile(r"(?P<digest>[0-9a-f]{32})  (?P<name>.+)")


def digests(root: Path) -> dict[str, str]:
    """Digest of every file that stages have written.

    Args:
        root: Folder with ``data/``, ``metrics/`` and ``reports/``.

    Returns:
        By path below ``root``, sorted.

    Raises:
        MissingFileError: There is no such file.
    """
    files = [path for name in FOLDERS for path in sorted((root / name).rglob("*")) if path.is_file()]
    names = {path.relative_to(root).as_posix(): path for path in files if not path.name.startswith(".")}
    written = {name: path for name, path in names.items() if not name.startswith(_GIVEN)}
    if not written:
        raise MissingFileError(
            f"{', '.join(FOLDERS)}: no results of stages found; run from the root of the repository, after 'dvc repro'"
        )
    return {name: _digest(path) for name, path in written.items()}


def _digest(path: Path) -> str:
    if path.name != META:
        return file_digest(path)
    content = json.loads(path.read_text())
    content.pop("made_by", None)
    return hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=16).hexdigest()


def read_digests(path: Path) -> dict[str, str]:
    """Digests that were printed into a file.

    Raises:
        MissingFileError: The file is absent.
        UserError: A line is not a digest and a path.
    """
    if not path.is_file():
        raise MissingFileError(f"--against {path}: not found; it is what 'python -m commands.digests' printed")
    found = {}
    for number, line in enumerate(read_text(path).splitlines(), 1):
        parts = _LINE.fullmatch(line)
        if not parts:
            raise UserError(
                f"--against {path}: line {number} = {line[:80]!r}: allowed: a digest, two spaces and a path"
            )
        found[parts["name"]] = parts["digest"]
    return found


def differences(found: dict[str, str], before: dict[str, str]) -> list[str]:
    """What two states differ in, a line each."""
    lines = [f"changed: {name}" for name in before if name in found and found[name] != before[name]]
    lines += [f"gone: {name}" for name in before if name not in found]
    return lines + [f"new: {name}" for name in found if name not in before]


def main() -> None:
    """Print the digests, or what differs from those of a file."""
    parser = argparse.ArgumentParser(prog="python -m commands.digests", description="Digests of all results.")
    parser.add_argument(
        "--against", type=Path, metavar="FILE", help="lines of another state; exit code 1 if they differ"
    )
    given = parser.parse_args()
    before = None if given.against is None else read_digests(given.against)
    found = digests(Path())
    if before is None:
        print("\n".join(f"{digest}  {name}" for name, digest in found.items()))
        return
    different = differences(found, before)
    print("\n".join(different) or f"equal: {len(found)} files")
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    with one_line_errors():
        main()
