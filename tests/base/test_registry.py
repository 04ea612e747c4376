"""Registries: what they give, what they import and when, and what they refuse."""

import importlib
import pkgutil
import sys
from typing import Annotated, Literal

import pytest
from pydantic import Field, ValidationError

import pipeline_lib
from pipeline_lib.base.errors import UserError
from pipeline_lib.base.registry import OneOf, Registry
from pipeline_lib.base.settings import Settings


def test_a_name_gives_its_thing_in_the_order_of_the_entries():
    numbers: Registry[int] = Registry("number", {"two": 2, "one": 1})
    assert (list(numbers), numbers["one"], len(numbers)) == (["two", "one"], 1, 2)


def test_a_string_is_imported_at_its_first_use(tmp_path, monkeypatch):
    (tmp_path / "lazily_imported.py").write_text("VALUE = [3]\n")
    monkeypatch.syspath_prepend(tmp_path)
    things: Registry[list[int]] = Registry("thing", {"lazy": "lazily_imported:VALUE"})
    assert "lazy" in things
    assert "lazily_imported" not in sys.modules
    assert things["lazy"] == [3]
    assert things["lazy"] is things["lazy"]


def test_an_unknown_name_is_refused_with_what_is_allowed():
    with pytest.raises(UserError) as raised:
        Registry("head.loss", {"temi": 1, "scan": 2})["temy"]
    assert str(raised.value) == "head.loss = 'temy': unknown; did you mean temi? allowed: temi, scan"


def test_a_default_is_given_where_there_is_no_such_name():
    numbers: Registry[int] = Registry("number", {"two": 2})
    assert (numbers.get("two"), numbers.get("three"), numbers.get("three", 3)) == (2, None, 3)


class ByRegistry(Settings):
    one: Annotated[str, OneOf({"a": 1, "b": 2})]
    any: Annotated[str, OneOf(["b"], "auto")] | Annotated[int, Field(ge=1)]
    many: Annotated[tuple[Annotated[str, OneOf(["a", "b", "c"])], ...], Field(strict=False, min_length=1)]


class ByLiteral(Settings):
    one: Literal["a", "b"]
    any: Literal["auto", "b"] | Annotated[int, Field(ge=1)]
    many: Annotated[tuple[Literal["a", "b", "c"], ...], Field(strict=False, min_length=1)]


def errors_of(model: type[Settings], values: object) -> list[object]:
    with pytest.raises(ValidationError) as raised:
        model.model_validate(values)
    return [(error["type"], error["msg"], error["input"], error["loc"][0]) for error in raised.value.errors()]


@pytest.mark.parametrize(
    "change", [{"one": "c"}, {"one": 1}, {"any": "c"}, {"any": 0}, {"many": []}, {"many": ["a", "d"]}]
)
def test_names_are_refused_in_the_words_of_a_literal(change):
    good = {"one": "a", "any": "auto", "many": ["c", "a"]}
    assert ByRegistry.model_validate(good).model_dump() == ByLiteral.model_validate(good).model_dump()
    assert errors_of(ByRegistry, good | change) == errors_of(ByLiteral, good | change)


def registries() -> dict[str, Registry[object]]:
    """All registries of the library, by module and name."""
    found: dict[str, Registry[object]] = {}
    for module in pkgutil.walk_packages(pipeline_lib.__path__, "pipeline_lib."):
        if module.name.endswith("__main__") or "detectron2" in module.name or "mmseg" in module.name:
            continue
        for name, value in vars(importlib.import_module(module.name)).items():
            if isinstance(value, Registry) and id(value) not in map(id, found.values()):
                found[f"{module.name}:{name}"] = value
    return found


@pytest.mark.slow
def test_every_entry_of_every_registry_can_be_imported():
    found = registries()
    assert len(found) >= 5
    for registry in found.values():
        for name in registry:
            assert registry[name] is not None
