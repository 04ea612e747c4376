"""Keys, allowed values and explanations, on small settings classes and on those of the repository."""

from typing import Annotated, Literal

import pytest
from pydantic import Field, TypeAdapter
from ruamel.yaml import YAML

from pipeline_lib.base.settings import Count, Fraction, Names, Settings
from pipeline_lib.params.explanations import allowed_values, as_yaml, sections
from pipeline_lib.params.params import Params, load_params


class Inner(Settings):
    """Settings within a section.

    Attributes:
        steps: How many.
    """

    steps: Count


class Common(Settings):
    """What two sections share.

    Attributes:
        rate: Speed of
            all updates: high or ``low``.
        seed: Seed.

    Methods are of no interest here:
        rate: Not this line.
    """

    rate: Fraction
    seed: int


class Section(Common):
    """A section.

    With a second paragraph.

    Attributes:
        seed (int): Seed of this section.
        weight: Key ``lambda``.
    """

    weight: float = Field(alias="lambda")
    unknown: bool
    described: int = Field(description="From the field.")
    inner: Inner


class Entry(Settings):
    """One entry."""

    place: str | None = None
    sizes: tuple[int, ...] = (1, 2)
    kind: Literal["a", "b"]


class Root(Settings):
    """All."""

    launcher: str
    section: Section
    entries: dict[str, Entry]


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (Literal["a", "b"], "`a`, `b`"),
        (Literal["auto"] | Count | None, "`auto` or `null` or whole number from 1"),
        (Count | Literal["auto"], "`auto` or whole number from 1"),
        (Fraction, "number above 0 and below 1"),
        (Annotated[float, Field(ge=0, le=0.785398163)], "number from 0 to 0.7854"),
        (Annotated[float, Field(ge=0, lt=1)], "number from 0, below 1"),
        (Annotated[float, Field(gt=0, le=1)], "number above 0 and up to 1"),
        (Literal[1, 2], "`1`, `2`"),
        (bool, "`true`, `false`"),
        (Names, "list (text)"),
        (tuple[float, float], "list of 2 (number)"),
        (tuple[Literal["x", "y"], ...], "list (`x`, `y`)"),
        (dict[str, int], "section"),
        (Inner | None, "`null` or section"),
    ],
)
def test_allowed_values_in_words(annotation, words):
    schema = TypeAdapter(annotation).json_schema()
    assert allowed_values(schema, schema.get("$defs")) == words


@pytest.mark.parametrize("value", [None, True, 0.5, 1e-05, "auto", [0.1, "a", None], {"source": "x", "on": False}])
def test_values_read_back_as_they_were(value):
    assert YAML(typ="safe", pure=True).load(as_yaml(value)) == value


def test_keys_are_those_of_the_file_with_the_explanations_of_their_classes():
    launcher, section, entries = sections(Root)
    assert (launcher.explanation, [key.name for key in launcher.keys]) == ("", ["launcher"])
    assert section.explanation == "A section.\n\nWith a second paragraph."
    assert {key.name: key.explanation for key in section.keys} == {
        "section.rate": "Speed of all updates: high or ``low``.",
        "section.seed": "Seed of this section.",
        "section.lambda": "Key ``lambda``.",
        "section.unknown": "",
        "section.described": "From the field.",
        "section.inner.steps": "How many.",
    }
    assert entries.named_entries
    assert not section.named_entries
    assert [(key.name, key.default) for key in entries.keys] == [
        ("entries.NAME.place", "null"),
        ("entries.NAME.sizes", "[1, 2]"),
        ("entries.NAME.kind", None),
    ]


def test_every_key_of_the_repository_is_there_once(repository):
    found = [key.name for section in sections(Params) for key in section.keys if "NAME" not in key.name]
    assert len(found) == len(set(found))
    assert set(found) == set(keys(load_params(repository / "params.yaml").model_dump(by_alias=True)))


def keys(tree, prefix=""):
    for key, value in tree.items():
        if isinstance(value, dict) and f"{prefix}{key}" not in ("checkpoints", "datasets", "backbones"):
            yield from keys(value, f"{prefix}{key}.")
        elif not isinstance(value, dict):
            yield f"{prefix}{key}"
