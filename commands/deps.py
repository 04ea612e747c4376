"""Write the code that each stage of dvc.yaml depends on: ``python -m commands.deps``, or ``--check`` in CI.

DVC does not follow imports. The deps of a stage that lie under ``pipeline_lib/`` and ``stages/`` are what it imports,
but for the plumbing of :mod:`commands.imported_code`, and what declares its parameters; a folder stands for its modules
where all of them are there. The params of the stage ``check`` are all sections but ``machine``. All other lines stay.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

from ruamel.yaml import YAML

from commands.imported_code import imported_code, is_plumbing, resources, runs_code
from pipeline_lib.base.errors import UserError
from pipeline_lib.base.yaml_files import read_text, yaml_errors_told
from pipeline_lib.params.params import Params
from pipeline_lib.segins.pretraining.methods import METHODS
from stages._context import one_line_errors

PIPELINE = Path("dvc.yaml")
CODE = ("pipeline_lib/", "stages/")
UNCONDITIONAL = "check"
"""The stage that checks the parameters themselves: what is plumbing for all others is its work."""

UNTRACKED = "machine"


def code_deps(stage: str, root: Path, params: Iterable[str] = ()) -> list[str]:
    """What a stage depends on, as ``dvc.yaml`` lists it.

    Args:
        stage: Name of the stage and of its module.
        root: Root of the repository.
        params: Keys of ``params.yaml`` that it lists.

    Returns:
        Files and folders below ``root``, sorted.
    """
    module = Path("stages") / f"{stage}.py"
    if stage == UNCONDITIONAL:
        # Names are checked without what they name.
        modules = imported_code(module, root, lazily=False)
    else:
        modules = tuple({*imported_code(module, root, is_plumbing), *declarations(params, root)})
    code = _with_whole_folders(modules, root)
    read = {folder for folder in resources(modules, root) if not code.intersection(folder.parents)}
    return sorted(path.as_posix() for path in code | read)


def declarations(params: Iterable[str], root: Path) -> list[Path]:
    """Modules that declare sections of ``params.yaml``: DVC does not see the default of a key that is not in the file.

    Args:
        params: Keys of ``params.yaml``; ``${item.method}`` stands for the sections of all pretraining methods.
        root: Root of the repository.

    Returns:
        Files below ``root``.
    """
    named = {key.partition(".")[0] for key in params}
    sections = [*(named & Params.model_fields.keys()), *(METHODS if any(key.startswith("$") for key in named) else ())]
    annotations = [Params.model_fields[section].annotation for section in sections]
    classes = [get_args(kind)[1] if get_origin(kind) is dict else kind for kind in annotations]
    files = {Path(*getattr(found, "__module__", "").split(".")).with_suffix(".py") for found in classes if found}
    return sorted(path for path in files if (root / path).is_file() and not is_plumbing(path))


def checked_sections() -> list[str]:
    """What the stage that checks the parameters tracks: all sections but that of the machine, which DVC leaves out."""
    return [name for name in Params.model_fields if name != UNTRACKED]


def _with_whole_folders(modules: Iterable[Path], root: Path) -> set[Path]:
    """The modules, with a folder in place of them where all of its modules are there."""
    found = set(modules)
    folders = {parent for module in found for parent in module.parents if len(parent.parts) > 1}
    # The highest folders first: one of theirs needs no line of its own.
    for folder in sorted(folders, key=lambda path: len(path.parts)):
        inside = {path.relative_to(root) for path in (root / folder).rglob("*.py") if runs_code(path)}
        if len(inside) > 1 and inside <= found:
            found = (found - inside) | {folder}
    return found


def rewritten(text: str, root: Path) -> str:
    """``dvc.yaml`` with the code deps of every stage as they have to be.

    Args:
        text: Its content.
        root: Root of the repository.

    Returns:
        Its content, comments and all other lines as they were.

    Raises:
        UserError: It is no YAML, or without stages with deps; a stage has no script.
    """
    yaml = YAML()
    yaml.width, yaml.preserve_quotes = 4096, True
    yaml.indent(mapping=2, sequence=4, offset=2)
    with yaml_errors_told(PIPELINE):
        tree: Any = yaml.load(text)
    stages = tree.get("stages") if isinstance(tree, Mapping) else None
    if not isinstance(stages, Mapping):
        raise UserError(f"{PIPELINE}: expected stages by name below the key stages")
    for stage, body in stages.items():
        if not (root / "stages" / f"{stage}.py").is_file():
            raise UserError(f"dvc.yaml: stages.{stage}: stages/{stage}.py not found")
        deps = body.get("deps") if isinstance(body, Mapping) else None
        if not isinstance(deps, list):
            raise UserError(f"dvc.yaml: stages.{stage}.deps: expected a list")
        params = body.get("params", [])
        if stage == UNCONDITIONAL:
            _replace(params, lambda _: True, checked_sections())
        listed = [key for key in params if isinstance(key, str)]
        _replace(deps, lambda dep: dep.startswith(CODE), code_deps(stage, root, listed))
    stream = io.StringIO()
    yaml.dump(tree, stream)
    return stream.getvalue()


def _replace(entries: list[str], replaced: Callable[[str], bool], new: Iterable[str]) -> None:
    """Take some entries of a list away, one by one, and add others: a new list would lose the comments."""
    for position in reversed(range(len(entries))):
        if replaced(entries[position]):
            del entries[position]
    entries.extend(new)


def main() -> None:
    """Write the lists, or compare them."""
    parser = argparse.ArgumentParser(prog="python -m commands.deps", description="Code that the stages depend on.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 where a list is not right")
    given = parser.parse_args()
    before = read_text(PIPELINE)
    after = rewritten(before, Path())
    if before == after:
        print("dvc.yaml: the code deps of all stages are what they import")
    elif given.check:
        sys.exit("error: dvc.yaml: code deps are not what the stages import; run 'python -m commands.deps'")
    else:
        PIPELINE.write_text(after)
        print("dvc.yaml: code deps written")


if __name__ == "__main__":
    with one_line_errors():
        main()
