"""Settings as text, ``key=value``, as ``dvc exp run -S`` takes them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline_lib.base.errors import UserError

_PLAIN = re.compile(r"[A-Za-z_][\w./-]*")
_READ_AS_OTHERS = {"true", "false", "null", "nan", "inf", "yes", "no", "on", "off"}


def parsed_settings(texts: Sequence[str]) -> dict[str, Any]:
    """Read settings from the command line; a value is YAML 1.2, as in ``params.yaml``.

    Args:
        texts: ``key=value`` each, for example ``knn.threshold=0.3`` or ``features.blocks=[cls]``.

    Returns:
        Values by key; of a key given twice, the last.

    Raises:
        UserError: A text has no key or no ``=``, or its value is no YAML.
    """
    settings: dict[str, Any] = {}
    for text in texts:
        key, sign, value = text.partition("=")
        key = key.strip().lstrip("+")
        if not sign or not key:
            raise UserError(f"-S {text}: allowed: key=value, for example knn.threshold=0.3")
        try:
            settings[key] = YAML(typ="safe", pure=True).load(value)
        except YAMLError as error:
            raise UserError(f"-S {text}: the value is not valid YAML: {' '.join(str(error).split())}") from None
    return settings


def as_override(key: str, value: Any, listed: Mapping[str, Any]) -> str:
    """Write a setting as ``dvc exp run -S`` parses it (Hydra's grammar).

    Args:
        key: Dotted key.
        value: JSON value.
        listed: Content of ``params.yaml``.

    Returns:
        ``key=value``, or ``+key=value`` where ``params.yaml`` leaves the key to its default.
    """
    return f"{'' if _has(listed, key) else '+'}{key}={_as_text(value)}"


def _has(tree: Mapping[str, Any], key: str) -> bool:
    section: Any = tree
    for part in key.split("."):
        if not isinstance(section, Mapping) or part not in section:
            return False
        section = section[part]
    return True


def _as_text(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{','.join(_as_text(item) for item in value)}]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{_as_text(item)}" for key, item in value.items()) + "}"
    if _PLAIN.fullmatch(value) and value.lower() not in _READ_AS_OTHERS:
        return str(value)
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
