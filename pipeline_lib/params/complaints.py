"""What to say where pydantic refuses a value of ``params.yaml``."""

from __future__ import annotations

import difflib
from typing import Any, get_args, get_origin

from pydantic import BaseModel


def _keys(model: type[BaseModel]) -> dict[str, Any]:
    """Types of the fields by their keys in the file."""
    return {field.alias or name: field.annotation for name, field in model.model_fields.items()}


def _former_names(model: type[BaseModel]) -> dict[str, str]:
    """Keys by the name that they had before, where their field says so in ``json_schema_extra``."""
    extras = ((field.alias or name, field.json_schema_extra) for name, field in model.model_fields.items())
    return {str(extra["formerly"]): key for key, extra in extras if isinstance(extra, dict) and "formerly" in extra}


def _child(model: Any, key: str | int) -> Any:
    """Settings class behind ``key`` of ``model``, or ``None`` where the path leaves the classes."""
    if isinstance(model, type) and issubclass(model, BaseModel) and key in _keys(model):
        annotation = _keys(model)[str(key)]
        return get_args(annotation)[1] if get_origin(annotation) is dict else annotation
    if isinstance(model, type) and issubclass(model, BaseModel) and isinstance(key, str):
        return model
    return None


_UNION_MEMBERS = {"int", "float", "str", "tuple", "list", "none"}


def _location(error: Any) -> list[str | int]:
    """Path to the key, without the names that pydantic adds for members of a union."""
    path = [part for part in error["loc"] if not str(part).startswith(("function-", "literal[", "constrained-"))]
    while path and str(path[-1]).split("[")[0] in _UNION_MEMBERS:
        path.pop()
    return path


def explained(errors: list[Any], root: type[BaseModel]) -> str:
    """One line for the first complaint of pydantic, unknown keys before others: key, value and what is allowed."""
    error = next((error for error in errors if error["type"] == "extra_forbidden"), errors[0])
    location = _location(error)
    key = ".".join(str(part) for part in location)
    if error["type"] == "extra_forbidden":
        parent: Any = root
        for part in location[:-1]:
            parent = _child(parent, part)
        fields = sorted(_keys(parent))
        former = _former_names(parent)
        close = difflib.get_close_matches(str(location[-1]), [*fields, *former], n=1)
        hint = f"did you mean {former.get(close[0], close[0])}? " if close else ""
        return f"{key} = {error['input']!r}: unknown key; {hint}allowed: {', '.join(fields)}"
    if error["type"] == "missing":
        return f"{key}: missing; this key is required"
    alternatives = [other["msg"] for other in errors if _location(other) == location]
    message = " or ".join(text.replace("Value error, ", "").replace("Input should be ", "") for text in alternatives)
    value = "" if isinstance(error["input"], dict) else f" = {error['input']!r}"
    return f"{key}{value}: {'' if error['type'] == 'value_error' else 'allowed: '}{message}"
