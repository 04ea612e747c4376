"""Which modules of the project a module runs: what a change of code has to be compared with."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path


def imported_code(module: Path, root: Path) -> tuple[Path, ...]:
    """A module and all of the project's modules that it imports, directly or not.

    Args:
        module: The file, below ``root``.
        root: Root of the repository.

    Returns:
        Files below ``root``, sorted; ``__init__`` files of the packages among them.
    """
    found: set[Path] = set()
    waiting = [module]
    while waiting:
        current = waiting.pop()
        if current not in found:
            found.add(current)
            waiting += _imports(current, root)
    return tuple(sorted(found))


@cache
def _imports(module: Path, root: Path) -> tuple[Path, ...]:
    tree = ast.parse((root / module).read_text())
    return tuple(dict.fromkeys(path for name in _names(tree) for path in _files(name, root)))


def _names(tree: ast.Module) -> Iterator[str]:
    """Dotted names that may be modules; what a module gives is told from a module by what files there are."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _files(name: str, root: Path) -> Iterator[Path]:
    """File of a module of the project, and the ``__init__`` files that importing it runs."""
    parts = name.split(".")
    own = Path(*parts).with_suffix(".py")
    if (root / own).is_file():
        yield own
    for length in range(1, len(parts) + 1):
        init = Path(*parts[:length]) / "__init__.py"
        if (root / init).is_file():
            yield init
