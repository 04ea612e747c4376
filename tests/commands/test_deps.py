"""The code deps of stages, on a small repository and on this one."""

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from commands.deps import code_deps, declarations, main, rewritten
from commands.imported_code import imported_code, is_plumbing
from pipeline_lib.base.errors import MissingFileError, UserError
from pipeline_lib.params.params import Params

ROOT = Path(__file__).resolve().parents[2]
FILES = {
    "stages/__init__.py": '"""Stages."""\n',
    "stages/_context.py": "import pipeline_lib.params.params\n",
    "stages/one.py": "from pipeline_lib.method import first\nfrom stages._context import x\nimport json\n",
    "stages/two.py": "def run():\n    from pipeline_lib.method.second import work\n",
    "pipeline_lib/__init__.py": '"""Library."""\n',
    "pipeline_lib/params/__init__.py": "",
    "pipeline_lib/params/params.py": "import pipeline_lib.method.second\n",
    "pipeline_lib/method/__init__.py": "import pipeline_lib.patch\n",
    "pipeline_lib/method/first.py": 'PAGES = "templates"\n',
    "pipeline_lib/method/second.py": "",
    "pipeline_lib/method/templates/page.html": "",
    "pipeline_lib/patch.py": "",
    "pipeline_lib/whole/__init__.py": "",
    "pipeline_lib/whole/a.py": "import pipeline_lib.whole.deep.b\n",
    "pipeline_lib/whole/deep/__init__.py": "",
    "pipeline_lib/whole/deep/b.py": "",
    "stages/three.py": "import pipeline_lib.whole.a\n",
    "pipeline_lib/named/__init__.py": "",
    "pipeline_lib/named/names.py": 'NAMES = {"a": "pipeline_lib.named.a:A", "b": "no.such.module:B"}\n',
    "pipeline_lib/named/a.py": "import pipeline_lib.patch\n",
    "stages/four.py": "import pipeline_lib.named.names\n",
}


@pytest.fixture
def repository(tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_deps_are_the_imports_and_the_code_of_their_packages_without_plumbing(repository):
    assert code_deps("one", repository) == [
        "pipeline_lib/method/__init__.py",
        "pipeline_lib/method/first.py",
        "pipeline_lib/method/templates",
        "pipeline_lib/patch.py",
        "stages/one.py",
    ]


def test_an_import_within_a_function_counts(repository):
    assert "pipeline_lib/method/second.py" in code_deps("two", repository)
    assert "pipeline_lib/method/templates" not in code_deps("two", repository)


def test_what_a_registry_imports_later_counts(repository):
    assert code_deps("four", repository) == ["pipeline_lib/named", "pipeline_lib/patch.py", "stages/four.py"]


def test_the_check_of_the_parameters_depends_on_names_and_not_on_what_they_name(repository):
    (repository / "stages/check.py").write_text("import pipeline_lib.named.names\nimport pipeline_lib.params.params\n")
    deps = code_deps("check", repository)
    assert "pipeline_lib/named/names.py" in deps
    assert "pipeline_lib/params/params.py" in deps
    assert "pipeline_lib/named/a.py" not in deps


def test_a_folder_stands_for_its_modules_where_all_are_imported(repository):
    assert code_deps("three", repository) == ["pipeline_lib/whole", "stages/three.py"]
    (repository / "pipeline_lib/whole/deep/more.py").touch()
    assert code_deps("three", repository) == [
        "pipeline_lib/whole/a.py",
        "pipeline_lib/whole/deep/b.py",
        "stages/three.py",
    ]


def test_only_the_code_deps_are_rewritten(repository):
    text = (
        "# What it is.\nstages:\n  three:\n    cmd: python -m stages.three --data ${item.data}\n    deps:\n"
        "      - data/raw/${item.data}  # given\n      - pipeline_lib/gone.py\n    params: []\n"
    )
    after = rewritten(text, repository)
    assert after == text.replace(
        "      - pipeline_lib/gone.py\n", "      - pipeline_lib/whole\n      - stages/three.py\n"
    )
    assert rewritten(after, repository) == after


def test_a_stage_without_a_script_is_refused(repository):
    with pytest.raises(UserError, match=r"stages\.five: stages/five\.py not found"):
        rewritten("stages:\n  five:\n    deps: []\n", repository)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stages: [1", "not valid YAML"),
        ("- a", "expected stages by name"),
        ("stages:\n  one:\n    cmd: x\n", r"stages\.one\.deps: expected a list"),
    ],
)
def test_a_broken_pipeline_is_refused_in_one_line(repository, text, message):
    with pytest.raises(UserError, match=rf"dvc\.yaml: {message}") as caught:
        rewritten(text, repository)
    assert "\n" not in str(caught.value)


def test_outside_of_a_repository_the_command_says_so(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["deps"])
    with pytest.raises(MissingFileError, match=r"dvc\.yaml: not found; run from the root"):
        main()


def test_the_lists_of_this_repository_are_right():
    text = (ROOT / "dvc.yaml").read_text()
    assert rewritten(text, ROOT) == text


def test_stages_do_not_depend_on_plumbing():
    modules = imported_code(Path("stages/knn.py"), ROOT, is_plumbing)
    assert not [path for path in modules if is_plumbing(path)]
    assert Path("pipeline_lib/ucls/neighbors/finding.py") in modules


def test_what_declares_a_parameter_that_a_stage_lists_is_code_of_it(repository):
    declared = "pipeline_lib/ucls/neighbors/settings.py"
    (repository / declared).parent.mkdir(parents=True)
    (repository / declared).touch()
    assert declared not in code_deps("two", repository)
    assert declared in code_deps("two", repository, ["knn", "suite.seed"])
    assert Path("pipeline_lib/images/sources/settings.py") in declarations(["datasets.${item.data}"], ROOT)
    assert Path("pipeline_lib/segins/pretraining/methods.py") in declarations(["${item.method}"], ROOT)


def test_check_tracks_all_sections_but_that_of_the_machine(repository):
    text = "stages:\n  check:\n    deps: []\n    params:\n      - knn\n"
    (repository / "stages/check.py").touch()
    listed = YAML(typ="safe").load(rewritten(text, repository))["stages"]["check"]["params"]
    assert listed == [name for name in Params.model_fields if name != "machine"]
    assert {"knn", "simsiam", "datasets", "launcher"} <= set(listed)
