"""What each key of ``params.yaml`` means and may be, taken from the settings classes themselves."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from pydantic import BaseModel

ENTRY = "NAME"
"""Stands in a key for the name that an entry has, as in ``datasets.NAME.source``."""
_ATTRIBUTE = re.compile(r"(?P<name>\w+)(?: \([^)]*\))?: *(?P<text>.*)")


@dataclass(frozen=True)
class Key:
    """A key of ``params.yaml`` that holds a value.

    Attributes:
        name: Dotted name.
        allowed: What its value may be, in words, as Markdown.
        default: What holds where an entry leaves the key out; ``None`` where it must be there.
        explanation: What it is, from the docstring of its class or its field; empty where neither says.
    """

    name: str
    allowed: str
    default: str | None
    explanation: str


@dataclass(frozen=True)
class Section:
    """One section of ``params.yaml``.

    Attributes:
        name: Its key.
        explanation: Docstring of its class without the attributes; empty where it is a single value.
        keys: The keys below it, those of sections within it too; of a single value the key itself.
        named_entries: Whether it maps names to entries that all have these keys.
    """

    name: str
    explanation: str
    keys: tuple[Key, ...]
    named_entries: bool


def sections(root: type[BaseModel]) -> list[Section]:
    """All sections that a settings class declares.

    Args:
        root: Class of the whole file.

    Returns:
        Its sections in their order.
    """
    found, file_schema = [], root.model_json_schema()
    for name, field in root.model_fields.items():
        key = field.alias or name
        entry = _entry_class(field.annotation)
        model = entry or _settings_class(field.annotation)
        if model is None:
            found.append(Section(key, "", (_key(root, name, key, file_schema),), named_entries=False))
        else:
            below = tuple(_keys(model, f"{key}.{ENTRY}" if entry else key))
            found.append(Section(key, _summary(model), below, named_entries=entry is not None))
    return found


def key_names(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Dotted names of all keys that hold a value, without those of sections that map names to entries.

    Args:
        model: Settings class.
        prefix: What stands before the names, with a dot at its end.

    Yields:
        Names such as ``bounds.turtle.steps``, in the order of the fields.
    """
    for name, field in model.model_fields.items():
        key, below = f"{prefix}{field.alias or name}", _settings_class(field.annotation)
        if below is not None:
            yield from key_names(below, f"{key}.")
        elif _entry_class(field.annotation) is None:
            yield key


def allowed_values(schema: Mapping[str, Any], definitions: Mapping[str, Any] | None = None) -> str:
    """What a JSON schema allows, in words.

    Args:
        schema: Schema of one value.
        definitions: What ``$ref`` in it refers to.

    Returns:
        Markdown such as ```auto` or whole number from 1``.
    """
    known = definitions or {}
    if "$ref" in schema:
        return allowed_values(known[schema["$ref"].rpartition("/")[2]], known)
    if "anyOf" in schema:
        members = (allowed_values(member, known) for member in schema["anyOf"])
        # Names first: what follows a list would read as one more of its items.
        return " or ".join(sorted(dict.fromkeys(members), key=lambda words: not words.startswith("`")))
    if "const" in schema or "enum" in schema:
        return ", ".join(f"`{as_yaml(value)}`" for value in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        return _allowed_lists(schema, known)
    words = {"integer": "whole number", "number": "number", "string": "text", "object": "section"}
    literals = {"boolean": "`true`, `false`", "null": "`null`"}
    kind = schema.get("type", "")
    return literals.get(kind) or words.get(kind, "any value") + _bounds(schema)


def as_yaml(value: Any) -> str:
    """A value as ``params.yaml`` has it on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {as_yaml(below)}" for key, below in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(as_yaml(item) for item in value) + "]"
    words = {None: "null", True: "true", False: "false"}
    return words[value] if value is None or isinstance(value, bool) else str(value)


def _settings_class(annotation: Any) -> type[BaseModel] | None:
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _entry_class(annotation: Any) -> type[BaseModel] | None:
    """Class of the entries where a section maps names to entries."""
    return _settings_class(get_args(annotation)[1]) if get_origin(annotation) is dict else None


def _keys(model: type[BaseModel], prefix: str) -> Iterator[Key]:
    schema = model.model_json_schema()
    for name, field in model.model_fields.items():
        if isinstance(field.json_schema_extra, dict) and field.json_schema_extra.get("internal"):
            # The program fills it in.
            continue
        key = f"{prefix}.{field.alias or name}"
        below = _settings_class(field.annotation)
        if below is None:
            yield _key(model, name, key, schema)
        else:
            yield from _keys(below, key)


def _key(model: type[BaseModel], name: str, key: str, schema: Mapping[str, Any]) -> Key:
    field = model.model_fields[name]
    allowed = allowed_values(schema["properties"][field.alias or name], schema.get("$defs", {}))
    default = None if field.is_required() else as_yaml(field.get_default(call_default_factory=True))
    return Key(key, allowed, default, field.description or _attributes(model).get(name, ""))


def _attributes(model: type[BaseModel]) -> dict[str, str]:
    """Explanations of the fields, by name, from the docstrings of the class and of those that it extends."""
    found: dict[str, str] = {}
    for parent in reversed(model.__mro__):
        name = ""
        for line in _attribute_lines(parent):
            begins = _ATTRIBUTE.fullmatch(line)
            if begins:
                name = begins["name"]
                found[name] = begins["text"]
            elif name:
                found[name] = f"{found[name]} {line.strip()}".strip()
    return found


def _attribute_lines(model: type) -> Iterator[str]:
    """Lines of the section ``Attributes`` without its own indentation."""
    inside = False
    for line in inspect.cleandoc(model.__doc__ or "").splitlines():
        if line and not line.startswith(" "):
            inside = line == "Attributes:"
        elif inside and line:
            yield line.removeprefix("    ")


def _summary(model: type[BaseModel]) -> str:
    """The docstring up to its first section."""
    return re.split(r"\n\n?\w+:\n", inspect.cleandoc(model.__doc__ or ""))[0].strip()


def _bounds(schema: Mapping[str, Any]) -> str:
    if "minimum" in schema and "maximum" in schema:
        return f" from {schema['minimum']:.4g} to {schema['maximum']:.4g}"
    words = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "up to", "exclusiveMaximum": "below"}
    found = [f" {word} {schema[key]:.4g}" for key, word in words.items() if key in schema]
    return " and".join(found) if "minimum" not in schema else ",".join(found)


def _allowed_lists(schema: Mapping[str, Any], known: Mapping[str, Any]) -> str:
    if "prefixItems" in schema:
        kinds = dict.fromkeys(allowed_values(item, known) for item in schema["prefixItems"])
        return f"list of {len(schema['prefixItems'])} ({' or '.join(kinds)})"
    return f"list ({allowed_values(schema.get('items', {}), known)})"
