"""docs/parameters.md: what it says of small settings, and that the one in the repository is up to date."""

import sys

import pytest
from pydantic import Field
from ruamel.yaml import YAML

from commands.reference import main, page, unexplained
from pipeline_lib.base.errors import MissingFileError, UserError
from pipeline_lib.base.settings import Settings
from pipeline_lib.params.params import Params

FILE = """\
# All of it.
first:
  known: 0.5       # a comment that the class makes superfluous
  commented: [1, 2]  # small | large
                     # and a second line
  nothing: auto

  # Not of the line above.
  last: null       # the end

# Of the next section.
other: {}
"""


class First(Settings):
    """A section with a | in it, see :class:`Params`.

    Attributes:
        known: A ``share``
            of all.
    """

    known: float
    absent: bool = False
    commented: tuple[int, int]
    nothing: str
    last: str | None


class Entry(Settings):
    """An entry."""

    size: int = 3
    name: str = Field(description="What it is called.")


class Root(Settings):
    """All."""

    first: First
    other: dict[str, Entry]


def values():
    return YAML().load(FILE)


def test_explanations_are_those_of_the_class_or_else_the_comment_at_the_line():
    text = page(Root, values())
    assert "## `first`\n\nA section with a | in it, see `Params`.\n" in text
    assert "| `first.known` | `0.5` | number | A `share` of all. |\n" in text
    assert "| `first.commented` | `[1, 2]` | list of 2 (whole number) | small \\| large |\n" in text
    assert "| `first.nothing` | `auto` | text | – |\n" in text
    assert "| `first.last` | `null` | `null` or text | the end |\n" in text
    assert "| `first.absent` | default `false` | `true`, `false` | – |\n" in text
    assert "| `other.NAME.size` | default `3` | whole number | – |\n" in text
    assert "| `other.NAME.name` | required | text | What it is called. |\n" in text


def test_every_row_has_the_columns_of_its_table(repository):
    text = page(Params, YAML().load((repository / "params.yaml").read_text()))
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {row.replace("\\|", "").count("|") for row in rows} == {5}


def test_every_key_of_the_repository_is_explained(repository):
    assert unexplained(Params, YAML().load((repository / "params.yaml").read_text())) == []


def test_keys_without_any_explanation_are_named():
    assert unexplained(Root, values()) == ["first.absent", "first.nothing", "other.NAME.size"]


@pytest.fixture
def run(monkeypatch, tmp_path, repository):
    """The command in a folder of its own with this repository's params.yaml."""
    (tmp_path / "params.yaml").write_text((repository / "params.yaml").read_text())
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["reference", *arguments])
        main()

    return call


def test_check_refuses_a_page_that_does_not_fit_and_writes_nothing(run, tmp_path):
    with pytest.raises(SystemExit, match=r"docs/parameters\.md: not what the settings say"):
        run("--check")
    assert not (tmp_path / "docs").exists()
    run()
    run("--check")
    page_file = tmp_path / "docs/parameters.md"
    page_file.write_text(page_file.read_text().replace("true", "false", 1))
    with pytest.raises(SystemExit, match="not what the settings say"):
        run("--check")


def test_absent_and_broken_parameters_are_refused_in_one_line(run, tmp_path):
    for text, message in (("a: [1", "not valid YAML"), ("- a", "expected sections with keys")):
        (tmp_path / "params.yaml").write_text(text)
        with pytest.raises(UserError, match=rf"params\.yaml: {message}") as caught:
            run()
        assert "\n" not in str(caught.value)
    (tmp_path / "params.yaml").unlink()
    with pytest.raises(MissingFileError, match=r"params\.yaml: not found"):
        run()


def test_the_page_in_the_repository_is_what_the_settings_say(run, tmp_path, repository):
    run()
    written = (tmp_path / "docs/parameters.md").read_text()
    assert (repository / "docs/parameters.md").read_text() == written, "run 'python -m commands.reference'"
