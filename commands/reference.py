"""Write docs/parameters.md, all keys of params.yaml: ``python -m commands.reference``, or ``--check`` in CI.

What a value may be and what it is comes from the settings classes; where a class says nothing of a key, the comment at
its line in params.yaml stands in.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from pipeline_lib.base.errors import UserError
from pipeline_lib.base.yaml_files import read_text, yaml_errors_told
from pipeline_lib.params.explanations import ENTRY, Key, Section, as_yaml, sections
from pipeline_lib.params.params import Params
from stages._context import one_line_errors

PAGE = Path("docs/parameters.md")
PARAMETERS = Path("params.yaml")
_INTRODUCTION = """\
# Parameters

All keys of [`params.yaml`](../params.yaml), written by `python -m commands.reference` from the settings classes, where
an explanation is changed. A value is changed in the file, or for one run with `dvc exp run -S key=value`. A key that is
not in the file has the default shown; `-S +key=value` adds it. Numbers in parentheses are those of the thesis or of the
paper that a method comes from.
"""
_NOTHING = "–"


def page(root: type[BaseModel], values: CommentedMap) -> str:
    """The reference of all keys.

    Args:
        root: Class of the whole file.
        values: Content of ``params.yaml`` with its comments.

    Returns:
        Markdown.
    """
    found = sections(root)
    links = ", ".join(f"[`{section.name}`](#{section.name})" for section in found)
    return "\n".join([_INTRODUCTION, f"Sections: {links}.", *(_section(section, values) for section in found)]) + "\n"


def unexplained(root: type[BaseModel], values: CommentedMap) -> list[str]:
    """Keys that neither their class nor a comment in ``params.yaml`` explains."""
    return [key.name for section in sections(root) for key in section.keys if not _explanation(key, values)]


def _section(section: Section, values: CommentedMap) -> str:
    lines = [f"\n## `{section.name}`\n"]
    if section.explanation:
        lines.append(f"{_markdown(section.explanation)}\n")
    if section.named_entries:
        names = ", ".join(f"`{name}`" for name in values.get(section.name, {}))
        lines.append(f"`{ENTRY}` stands for the name of an entry: {names}.\n")
    lines += ["| key | value | allowed | what it is |", "| --- | --- | --- | --- |"]
    for key in section.keys:
        row = (f"`{key.name}`", _value(key, values), key.allowed, _explanation(key, values) or _NOTHING)
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |")
    return "\n".join(lines)


def _value(key: Key, values: CommentedMap) -> str:
    """The value in the file, or what holds where it has none."""
    steps = list(_steps(key.name, values))
    if len(steps) == key.name.count(".") + 1:
        level, part = steps[-1]
        return f"`{as_yaml(level[part])}`"
    return "required" if key.default is None else f"default `{key.default}`"


def _explanation(key: Key, values: CommentedMap) -> str:
    return _markdown(key.explanation) or _comment(key.name, values)


def _markdown(text: str) -> str:
    """A docstring's text as Markdown, its line breaks as spaces."""
    without_roles = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", text.replace("``", "`"))
    return " ".join(without_roles.split())


def _steps(key: str, values: CommentedMap) -> Iterator[tuple[CommentedMap, str]]:
    """Each part of a dotted key with the mapping that has it, as far as the file has them."""
    level: Any = values
    for part in key.split("."):
        if not isinstance(level, CommentedMap) or part not in level:
            return
        yield level, part
        level = level[part]


def _comment(key: str, values: CommentedMap) -> str:
    """The comment at the end of a key's line; empty where there is none."""
    steps = list(_steps(key, values))
    if len(steps) < key.count(".") + 1:
        return ""
    level, part = steps[-1]
    tokens: Mapping[str, Any] = level.ca.items
    token = (tokens.get(part) or [None] * 3)[2]
    first = token.value.splitlines()[0] if token and not token.value.startswith("\n") else ""
    return first.removeprefix("#").strip()


def main() -> None:
    """Write the page, or compare it."""
    parser = argparse.ArgumentParser(prog="python -m commands.reference", description="Reference of all parameters.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 where the page is not right")
    given = parser.parse_args()
    text = read_text(PARAMETERS)
    with yaml_errors_told(PARAMETERS):
        values = YAML().load(text)
    if not isinstance(values, CommentedMap):
        raise UserError(f"{PARAMETERS}: expected sections with keys, found {type(values).__name__}")
    after = page(Params, values)
    missing = unexplained(Params, values)
    if missing:
        print(f"without an explanation: {', '.join(missing)}", file=sys.stderr)
    if PAGE.is_file() and PAGE.read_text() == after:
        print(f"{PAGE}: fits the settings")
    elif given.check:
        sys.exit(f"error: {PAGE}: not what the settings say; run 'python -m commands.reference'")
    else:
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(after)
        print(f"{PAGE}: written")


if __name__ == "__main__":
    with one_line_errors():
        main()
