"""What README, CONTRIBUTING and docs/ refer to is there: files, headings, modules, keys of params.yaml, presets."""

import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from pipeline_lib.base.yaml_files import read_yaml
from pipeline_lib.params.explanations import sections
from pipeline_lib.params.params import Params
from pipeline_lib.params.presets import load_presets

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
# The names on docs/adding.md are those of toys, which tests/test_adding.py writes and runs.
NAMING = [page for page in PAGES if page.name != "adding.md"]
PARAMETERS = read_yaml(ROOT / "params.yaml")
DECLARED = {key.name for section in sections(Params) for key in section.keys}
ALL_PRESETS = load_presets(ROOT / "conf/presets.yaml")
PRESETS = ALL_PRESETS.by_name
SETS = read_yaml(ROOT / "conf/experiments.yaml")["sets"]
LINK = re.compile(r"\]\((?P<target>[^)\s]+)\)")
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`\n]+)`")


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def links(text: str) -> list[str]:
    """Targets of links and images that are no addresses."""
    found = LINK.findall(CODE.sub("`code`", FENCED.sub("", text)))
    return [target for target in found if "://" not in target and not target.startswith("mailto:")]


def anchors(text: str) -> set[str]:
    """Names that GitHub gives the headings of a page."""
    found: list[str] = []
    for heading in re.findall(r"^#+ (.+)$", FENCED.sub("", text), re.MULTILINE):
        words = LINK.sub("", heading).replace("[", "")
        slug = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
        found.append(f"{slug}-{found.count(slug)}" if slug in found else slug)
    return set(found)


def broken_links(page: Path) -> Iterator[str]:
    for target in links(page.read_text()):
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists():
            yield f"{target}: no such file"
        elif anchor and anchor not in anchors(file.read_text()):
            yield f"{target}: no such heading"


def modules(text: str) -> set[str]:
    """Modules that are started with ``python -m``; of those with a placeholder none."""
    return {found for found in re.findall(r"python -m ([\w.]+)", text) if not found.endswith(".")}


def set_keys(text: str) -> set[str]:
    """Keys that are set with ``-S``: one of params.yaml, or with a ``+`` before it one that is not there."""
    found = set(re.findall(r"(?:-S|--set)[ =]['\"]?(\+?[\w.]+)=", text))
    return found - {"key", "+key"}


def named_keys(text: str) -> set[str]:
    """Keys that are named; those with a placeholder such as NAME are left out."""
    found = set()
    for code in CODE.findall(FENCED.sub("", text)):
        named = re.fullmatch(r"([a-z]\w*(?:\.\w+)+)(?:=.*|: .*)?", code)
        if named and named[1].split(".")[0] in PARAMETERS and not named[1].endswith((".py", ".json", ".md", ".yaml")):
            found.add(named[1])
    return {key for key in found if not re.search(r"\b[A-Z]+\b", key)}


def is_in_the_file(key: str) -> bool:
    level = PARAMETERS
    for part in key.split("."):
        if not isinstance(level, dict) or part not in level:
            return False
        level = level[part]
    return True


def unknown_keys(text: str) -> set[str]:
    given = {key for key in set_keys(text) if not key.startswith("+")}
    added = {key.removeprefix("+") for key in set_keys(text) - given}
    unknown = {key for key in given if not is_in_the_file(key)} | {f"+{key}" for key in added - DECLARED}
    return unknown | {key for key in named_keys(text) - DECLARED if not is_in_the_file(key)}


def presets(text: str) -> set[str]:
    """Presets that are run or named."""
    run = re.findall(r"(?:commands\.preset|--preset) ([a-z][\w-]*(?:\.\d+)?)", text)
    named = {code for code in CODE.findall(text) if re.fullmatch(r"thesis-[\w-]+(?:\.\d+)?", code)}
    return {*run, *named.difference(SETS)}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_to_files_and_headings(page):
    assert list(broken_links(page)) == []


@pytest.mark.parametrize("page", NAMING, ids=name)
def test_modules_that_are_started_exist(page):
    own = ("pipeline_lib", "stages", "commands", "benchmarks")
    for module in modules(page.read_text()):
        place = ROOT / module.replace(".", "/")
        found = place.with_suffix(".py").is_file() or (place / "__main__.py").is_file()
        assert found if module.split(".")[0] in own else find_spec(module), f"{module}: no such module"


@pytest.mark.parametrize("page", NAMING, ids=name)
def test_parameters_that_are_named_exist(page):
    assert unknown_keys(page.read_text()) == set()


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_presets_that_are_named_exist(page):
    assert presets(page.read_text()) <= set(PRESETS)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_sets_of_experiments_that_are_run_exist(page):
    run = re.findall(r"commands\.experiments ([a-z][\w-]*)", page.read_text())
    assert set(run) <= set(SETS)


def test_every_setting_of_the_thesis_has_a_line_that_says_how_it_is_known():
    named = set(CODE.findall((ROOT / "docs/thesis.md").read_text()))
    lacking = {
        key
        for preset in PRESETS
        if preset.startswith("thesis")
        for key in {*ALL_PRESETS.settings([preset]), *ALL_PRESETS.waived(preset)}
        if not {key, f"{key.rpartition('.')[0]}.*"} & named and not key.startswith(("suite.", "segins_suite."))
    }
    assert not lacking


def test_every_page_is_led_to_by_another():
    reached = {(page.parent / link.partition("#")[0]).resolve() for page in PAGES for link in links(page.read_text())}
    assert {name(page) for page in PAGES} - {name(page) for page in PAGES if page in reached} <= {"README.md"}


def test_what_is_wrong_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# One `thing`, or two\n## Again\n## Again\n"
        "[a](#one-thing-or-two) [b](#again-1) [c\nd](page.md#again) [e](https://a.b/c) `[f](g)`\n"
        "[g](gone.md) [h](#gone) ![i](gone.png)\n```\n[j](k)\n```\n"
    )
    assert list(broken_links(page)) == [
        "gone.md: no such file",
        "#gone: no such heading",
        "gone.png: no such file",
    ]
    text = (
        "`python -m stages.knn --data x`, `python -m stages.<stage>`, `-S 'knn.threshold=0.3'` -S knn.treshold=1\n"
        "-S key=value, -S +knn.gone=1, -S datasets.digits.labels=none, -S +knn.threshold=1, `checkpoints.NAME.path`\n"
        "`knn.index=IVF1024,Flat`, `knn.gone`, `datasets.NAME.classes`, `metrics/knn.json`, `commands.preset`\n"
        "`python -m commands.preset temi`, --preset gone, `thesis-gone`"
    )
    assert modules(text) == {"stages.knn", "commands.preset"}
    assert unknown_keys(text) == {"knn.treshold", "knn.gone", "+knn.gone", "datasets.digits.labels"}
    assert presets(text) - set(PRESETS) == {"gone", "thesis-gone"}
