"""Reading the YAML files of ``conf/`` and checking their content; what to say where something in them is not right."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline_lib.base.errors import MissingFileError, UserError
from pipeline_lib.base.settings import Settings

Model = TypeVar("Model", bound=Settings)


def unknown_name(name: str, known: Iterable[str]) -> str:
    """What to say of a name that is not there: the closest known one, then all."""
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1)
    return f"unknown; {f'did you mean {close[0]}? ' if close else ''}allowed: {', '.join(names)}"


def parsed_yaml(text: str) -> Any:
    """Content of YAML 1.2, as DVC reads it: ``1e-05`` is a number there and a string in YAML 1.1.

    Raises:
        YAMLError: It is no YAML.
    """
    return copy.deepcopy(_parsed(text))


@lru_cache(maxsize=16)
def _parsed(text: str) -> Any:
    # A file is often read again with other changes to it, and parsing takes most of the time.
    return YAML(typ="safe", pure=True).load(text)


def read_text(path: Path) -> str:
    """Text of a file of the repository.

    Raises:
        MissingFileError: The file is absent.
        UserError: It is no text.
    """
    if not path.is_file():
        raise MissingFileError(f"{path}: not found; run from the root of the repository")
    try:
        return path.read_text()
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not text: {error}") from None


@contextmanager
def yaml_errors_told(path: Path) -> Iterator[None]:
    """Tell in one line where what is parsed within is no YAML.

    Raises:
        UserError: It is none; the message names ``path``.
    """
    try:
        yield
    except YAMLError as error:
        raise UserError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None


def read_yaml(path: Path) -> Any:
    """Content of a YAML 1.2 file.

    Raises:
        MissingFileError: The file is absent.
        UserError: It is no text or no YAML.
    """
    text = read_text(path)
    with yaml_errors_told(path):
        return parsed_yaml(text)


def load_validated(path: Path, model: type[Model]) -> Model:
    """Read a file and check all of it.

    Args:
        path: The file.
        model: What it has to hold.

    Returns:
        Its content.

    Raises:
        MissingFileError: The file is absent.
        UserError: It is no YAML, a key is unknown or a value is not allowed; the message names it.
    """
    try:
        return model.model_validate(read_yaml(path))
    except ValidationError as error:
        raise UserError(f"{path}: {first_complaint(error)}") from None


def first_complaint(error: ValidationError) -> str:
    """The first thing that pydantic complains of, in one line: key, value and what is allowed."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"{key}: unknown key"
    message = first["msg"].replace("Value error, ", "")
    value = "" if isinstance(first["input"], dict) else f" = {first['input']!r}"
    return f"{key}{value}: {message}" if key else message
