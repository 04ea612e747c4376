"""dvc.yaml against the code: exact dependencies, parameters, descriptions, and which stages a parameter reruns."""

import re
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

from commands.deps import code_deps
from pipeline_lib.base.yaml_files import read_yaml
from pipeline_lib.params.params import Params, load_params

ROOT = Path(__file__).resolve().parents[2]
HINTS = ("ablation", "segins_experiments")
"""Scripts that stay for one release to say what took their place."""


def definition() -> dict:
    return read_yaml(ROOT / "dvc.yaml")


def stage_names() -> list[str]:
    return list(definition()["stages"])


def code_dependencies(stage: str) -> list[str]:
    return [d for d in definition()["stages"][stage]["deps"] if not d.startswith(("data/", "metrics/"))]


@pytest.mark.parametrize("stage", ["report", "segins_report"])
def test_pages_are_made_again_when_a_template_changes(stage):
    templates = "pipeline_lib/reports/drawing/templates"
    assert any(templates == listed or templates.startswith(f"{listed}/") for listed in code_dependencies(stage))


@pytest.mark.parametrize("stage", stage_names())
def test_code_dependencies_are_exactly_the_imports(stage):
    params = [key for key in definition()["stages"][stage]["params"] if isinstance(key, str)]
    assert code_dependencies(stage) == code_deps(stage, ROOT, params)


def test_every_stage_is_a_script_and_every_script_is_a_stage():
    scripts = {path.stem for path in (ROOT / "stages").glob("*.py") if not path.name.startswith("_")}
    assert scripts == {*stage_names(), *HINTS}


@pytest.mark.parametrize("name", HINTS)
def test_what_is_no_stage_any_more_says_what_took_its_place(name):
    done = subprocess.run([sys.executable, "-m", f"stages.{name}", "ladder"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "python -m commands.experiments" in done.stderr


@pytest.mark.parametrize("stage", stage_names())
def test_every_stage_says_what_it_does_and_runs_as_a_module(stage):
    body = definition()["stages"][stage]
    assert len(body["desc"]) > 20
    assert re.match(rf"(python|\$\{{launcher\}}) -m stages\.{stage}\b", body["cmd"])
    for metric in body.get("metrics", []):
        assert next(iter(metric.values())) == {"cache": False}
    for out in body.get("outs", []):
        assert isinstance(out, str), "cache: false under outs turns the run cache off"


def test_no_stage_but_check_depends_on_all_parameters():
    sections = set(Params.model_fields)
    for stage in stage_names():
        if stage == "check":
            continue
        for entry in definition()["stages"][stage]["params"]:
            assert isinstance(entry, str)
            # ${item.method} is the section of the method.
            assert entry.split(".")[0] in sections or entry == "${item.method}"
            assert entry not in ("datasets", "backbones", "suite", "machine")


def is_needed(out: str, dep: str) -> bool:
    """Whether an output is the dependency or lies in it; targets are data sets, and starts any of the checkpoints."""
    pattern = dep.replace("${item.target}", "${item.data}").replace("${item.start}", "*")
    return fnmatch(out, pattern) or out.startswith(dep + "/")


def downstream(changed: str) -> set[str]:
    """Stages that rerun when the parameter ``changed`` does, by dvc.yaml's params and artifacts."""
    stages = definition()["stages"]
    affected = {
        name
        for name, body in stages.items()
        # The output of check is the same for every valid file: nothing follows from it.
        if name != "check"
        and any(isinstance(p, str) and (changed == p or changed.startswith(p + ".")) for p in body["params"])
    }
    while True:
        outs = {out for name in affected for out in stages[name].get("outs", [])}
        outs |= {next(iter(metric)) for name in affected for metric in stages[name].get("metrics", [])}
        more = {
            name for name, body in stages.items() if any(is_needed(out, dep) for out in outs for dep in body["deps"])
        } | affected
        if more == affected:
            return affected
        affected = more


SEGINS = [
    "annotate",
    "pretrain_baseline",
    "masks",
    "pretrain_segins",
    "linear_eval",
    "detection",
    "segmentation",
    "dense_probe",
    "segins_report",
]
CHAIN = ["extract", "classes", "knn", "train_heads", "assign", "consensus", "self_train", "evaluate", "report"]


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("bounds.turtle.steps", {"bounds", "report"}),
        ("self_train.weighting", [*CHAIN[-3:], "bounds"]),
        ("self_train.iterations", [*CHAIN[-3:], "bounds"]),
        ("consensus.choose", CHAIN[-4:]),
        ("train_heads.heads", [*CHAIN[-6:], "bounds"]),
        ("knn.threshold", CHAIN[-7:]),
        ("train_heads.beta", [*CHAIN[-6:], "bounds"]),
        ("classes.min", [*CHAIN[-8:], "bounds"]),
        ("datasets.${item.data}.classes", ["prepare", *CHAIN, "bounds", *SEGINS]),
        ("scenes.seed", {"scenes"}),
        ("prepare.seed", ["prepare", *CHAIN, "bounds", *SEGINS]),
        ("extract.batch_size", [*CHAIN, "bounds"]),
        ("features.centre", [*CHAIN[1:], "bounds"]),
        ("suite.seed", [*CHAIN[1:], "bounds"]),
        ("segins_suite.seed", ["given_checkpoint", *SEGINS[1:]]),
        ("machine.workers", []),
        ("launcher", []),
    ],
)
def test_a_parameter_reruns_its_stage_and_what_follows_only(key, expected):
    assert downstream(key) == set(expected)


def test_artifacts_of_each_stage_are_the_inputs_of_others():
    stages = definition()["stages"]
    outs = {out for body in stages.values() for out in body.get("outs", [])}
    inputs = {dep for body in stages.values() for dep in body["deps"] if dep.startswith("data/")}
    nowhere = {dep for dep in inputs if not any(is_needed(out, dep) for out in outs)}
    assert nowhere == {"data/raw/${item.data}"}


def test_params_of_the_repository_are_valid_and_every_raw_folder_that_needs_no_files_exists():
    params = load_params(ROOT / "params.yaml")
    assert params.suite.data == ("digits",)
    for name, dataset in params.datasets.items():
        if dataset.source not in ("folder", "parquet", "imagenet", "tiny_imagenet", "voc", "coco"):
            assert (ROOT / "data" / "raw" / name / ".gitkeep").is_file()
