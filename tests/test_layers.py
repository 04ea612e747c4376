"""Imports go one way: the layers of docs/architecture.md."""

import ast
from pathlib import Path

import pytest

from commands.imported_code import lazy_names

ROOT = Path(__file__).resolve().parents[1]
# From the ground up. A module may import from layers below its own and from its own folder; folders of one layer do not
# import each other.
LAYERS = (
    ("pipeline_lib.base",),
    ("pipeline_lib.artifacts", "pipeline_lib.features"),
    ("pipeline_lib.reports.drawing",),
    ("pipeline_lib.images",),
    ("pipeline_lib.backbones",),
    ("pipeline_lib.ucls", "pipeline_lib.segins"),
    ("pipeline_lib.params",),
    ("pipeline_lib.experiments",),
    ("pipeline_lib.reports.ucls", "pipeline_lib.reports.segins"),
    ("pipeline_lib.__main__",),
    ("stages",),
    ("commands",),
)
METHODS = ("neighbors", "class_count", "heads", "consensus", "probe", "evaluation", "bounds")


def is_in(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def layer(module: str) -> tuple[int, str] | None:
    found = [(level, folder) for level, folders in enumerate(LAYERS) for folder in folders if is_in(module, folder)]
    return max(found, key=lambda place: len(place[1])) if found else None


def modules() -> dict[str, Path]:
    files = [path for top in ("pipeline_lib", "stages", "commands") for path in (ROOT / top).rglob("*.py")]
    names = (path.relative_to(ROOT).with_suffix("") for path in files)
    return {".".join(name.parts).removesuffix(".__init__"): path for name, path in zip(names, files, strict=True)}


MODULES = modules()


def imports(path: Path, lazily: bool = True) -> set[str]:
    """Modules that a module imports; ``lazily``: also those that a registry in it imports at their first use."""
    tree = ast.parse(path.read_text())
    found = set(lazy_names(tree)) if lazily else set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    # A package is imported for what is in it; its own __init__ runs no layer's code.
    return {name for name in found if name in MODULES and MODULES[name].name != "__init__.py"}


def test_every_module_has_a_layer():
    without = [name for name, path in MODULES.items() if layer(name) is None and path.name != "__init__.py"]
    assert without == []


@pytest.mark.parametrize("top", sorted({folder for folders in LAYERS for folder in folders}))
def test_imports_go_down_or_stay_in_their_folder(top):
    wrong = []
    for name, path in MODULES.items():
        own = layer(name)
        if own is None or own[1] != top:
            continue
        for imported in imports(path):
            other = layer(imported)
            if other is not None and other[1] != own[1] and other[0] >= own[0]:
                wrong.append(f"{name} imports {imported}")
    assert wrong == []


def test_no_method_of_ucls_imports_another():
    wrong = []
    for name, path in MODULES.items():
        own = name.removeprefix("pipeline_lib.ucls.").split(".")[0]
        if not is_in(name, "pipeline_lib.ucls") or own not in METHODS:
            continue
        for imported in imports(path):
            other = imported.removeprefix("pipeline_lib.ucls.").split(".")[0]
            if is_in(imported, "pipeline_lib.ucls") and other != own:
                wrong.append(f"{name} imports {imported}")
    assert wrong == []


def test_there_is_no_circle():
    # A registry is imported by what it names: for the settings beside it.
    graph = {name: imports(path, lazily=False) & MODULES.keys() for name, path in MODULES.items()}
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " → ".join((*path[path.index(name) :], name))
        if name not in done:
            for other in graph[name]:
                visit(other, (*path, name))
            done.add(name)

    for name in graph:
        visit(name, ())
