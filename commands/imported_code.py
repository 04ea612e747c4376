"""Which modules of the project a module runs: what a change of code has to be compared with."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

PLUMBING = (
    "pipeline_lib/params/",
    "pipeline_lib/base/errors.py",
    "pipeline_lib/base/registry.py",
    "pipeline_lib/base/settings.py",
    "stages/_context.py",
)
"""Code that only carries values which DVC tracks as params, or texts of errors: it cannot change a result by itself."""


_LAZY = re.compile(r"(\w+(?:\.\w+)+):\w+")
"""What a registry imports at its first use is named in it as ``package.module:attribute``."""


def is_plumbing(module: Path) -> bool:
    """Whether a module is left out of what a stage depends on; so is all that only it imports."""
    return module.as_posix().startswith(PLUMBING)


def imported_code(
    module: Path, root: Path, skipped: Callable[[Path], bool] = lambda _: False, *, lazily: bool = True
) -> tuple[Path, ...]:
    """A module and all of the project's modules that it imports, directly or not.

    Args:
        module: The file, below ``root``.
        root: Root of the repository.
        skipped: Which modules are left out, with what only they import; never ``module`` itself.
        lazily: Whether what registries import at its first use counts too.

    Returns:
        Files below ``root``, sorted; ``__init__`` files that hold more than a docstring among them.
    """
    found: set[Path] = set()
    waiting = [module]
    while waiting:
        current = waiting.pop()
        if current not in found:
            found.add(current)
            waiting += [path for path in _imports(current, root, lazily) if not skipped(path)]
    return tuple(sorted(found))


def resources(modules: tuple[Path, ...], root: Path) -> tuple[Path, ...]:
    """Folders without code, such as one of templates, that a module beside them reads: it names them in a string."""
    found = set()
    for module in modules:
        text = (root / module).read_text()
        for folder in (root / module).parent.iterdir():
            if folder.is_dir() and f'"{folder.name}' in text and not any(folder.rglob("*.py")):
                found.add(folder.relative_to(root))
    return tuple(sorted(found))


@cache
def _imports(module: Path, root: Path, lazily: bool) -> tuple[Path, ...]:
    tree = ast.parse((root / module).read_text())
    names = [*_names(tree), *(lazy_names(tree) if lazily else ())]
    return tuple(dict.fromkeys(path for name in names for path in _files(name, root)))


def _names(tree: ast.Module) -> Iterator[str]:
    """Dotted names that may be modules; what a module gives is told from a module by what files there are."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def lazy_names(tree: ast.Module) -> Iterator[str]:
    """Modules in strings such as registries hold: what they name is imported at its first use."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and (named := _LAZY.fullmatch(node.value)):
            yield named[1]


def _files(name: str, root: Path) -> Iterator[Path]:
    """File of a module of the project, and the ``__init__`` files that importing it runs."""
    parts = name.split(".")
    own = Path(*parts).with_suffix(".py")
    if (root / own).is_file():
        yield own
    for length in range(1, len(parts) + 1):
        init = Path(*parts[:length]) / "__init__.py"
        if (root / init).is_file() and runs_code(root / init):
            yield init


def runs_code(module: Path) -> bool:
    """Whether importing a module does anything: an ``__init__`` file that holds a docstring only does not."""
    if module.name != "__init__.py":
        return True
    return not all(isinstance(part, ast.Expr) for part in ast.parse(module.read_text()).body)
