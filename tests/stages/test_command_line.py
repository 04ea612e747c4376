import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline_lib.base.errors import MissingFileError, UserError
from pipeline_lib.params.params import load_params
from stages._context import StageContext, chosen_blocks, run_stage, stage_context

AVAILABLE = {"cls_-2": (0, 4), "cls": (4, 8), "patch_mean": (8, 12)}
DEFAULT = ("cls_-2", "cls")


@pytest.fixture
def params(repository):
    return load_params(repository / "params.yaml")


def context(params, blocks="default", backbone="pixels"):
    changed = params.model_copy(update={"features": params.features.model_copy(update={"blocks": blocks})})
    return StageContext("knn", changed, "digits", backbone)


@pytest.mark.parametrize(
    ("blocks", "expected"),
    [("default", DEFAULT), ("first", ("cls_-2",)), (["patch_mean", "cls"], ("patch_mean", "cls"))],
)
def test_blocks_are_the_named_ones_in_their_order_or_default_ones(params, blocks, expected):
    assert chosen_blocks(context(params, blocks), AVAILABLE, DEFAULT) == expected


def test_a_block_that_was_not_extracted_is_refused(params):
    with pytest.raises(UserError) as caught:
        chosen_blocks(context(params, ["cls", "register"]), AVAILABLE, DEFAULT)
    message = str(caught.value)
    assert message.startswith("features.blocks = ['cls', 'register']: digits-pixels has no block 'register'")
    assert message.endswith("allowed: cls_-2, cls, patch_mean")
    assert "\n" not in message


def test_a_default_block_that_is_absent_is_refused(params):
    with pytest.raises(UserError, match="no block 'cls_-2'; allowed: pixels"):
        chosen_blocks(context(params), ["pixels"], DEFAULT)


@pytest.mark.parametrize("only", ["pixels", "pooled"])
def test_a_backbone_with_one_block_has_it_first(params, only):
    assert chosen_blocks(context(params, "first"), [only], (only,)) == (only,)


def test_paths_follow_the_run(params):
    with_backbone, without = context(params), context(params, backbone="")
    assert with_backbone.run == "digits-pixels"
    assert without.run == "digits"
    assert with_backbone.artifact("features") == Path("data/features/digits-pixels")
    assert with_backbone.artifact("datasets") == without.artifact("datasets") == Path("data/datasets/digits")
    assert without.artifact("raw") == Path("data/raw/digits")


def test_metrics_lie_in_the_folder_of_the_run_and_hold_no_times(params, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    context(params).write_metrics({"acc": 0.5})
    context(params).write_metrics({"nmi": 0.25}, "ucls")
    assert json.loads((tmp_path / "metrics/digits-pixels/knn.json").read_text()) == {"acc": 0.5}
    assert json.loads((tmp_path / "metrics/digits-pixels/ucls.json").read_text()) == {"nmi": 0.25}


def test_the_report_is_one_line_with_stage_and_run(params, capsys):
    context(params).report("300 images")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("knn@digits-pixels: 300 images [")


def parsed(monkeypatch, folder, *arguments, **options):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["stages.knn", *arguments])
    return stage_context("knn", "Find neighbours.", **options)


def test_data_set_and_backbone_default_to_the_first_of_the_suite(params, repository, monkeypatch):
    found = parsed(monkeypatch, repository)
    assert (found.data, found.backbone) == (params.suite.data[0], params.suite.backbone[0])
    assert parsed(monkeypatch, repository, with_backbone=False).backbone == ""
    named = parsed(monkeypatch, repository, "--data", "stl10", "--backbone", "dino_vitb16")
    assert named.run == "stl10-dino_vitb16"


@pytest.mark.parametrize(("option", "known"), [("--data", "digits"), ("--backbone", "pixels")])
def test_an_unknown_name_is_refused_with_the_known_ones(repository, monkeypatch, option, known):
    with pytest.raises(UserError) as caught:
        parsed(monkeypatch, repository, option, "nope")
    assert str(caught.value).startswith(f"{option} nope: not one of ")
    assert known in str(caught.value)


def test_a_folder_without_parameters_is_refused(tmp_path, monkeypatch):
    with pytest.raises(MissingFileError, match=r"params\.yaml: not found"):
        parsed(monkeypatch, tmp_path)


@pytest.fixture
def called(repository, monkeypatch):
    """Run a function as a stage that was started without arguments."""
    monkeypatch.chdir(repository)
    monkeypatch.setattr(sys, "argv", ["stages.knn"])
    return lambda run: run_stage(run, "knn", "Find neighbours.")


def raising(error):
    def run(_):
        raise error

    return run


@pytest.mark.parametrize("error", [UserError("knn.k_max = 0: allowed: 1 or more"), MissingFileError("x: not found")])
def test_what_the_user_can_mend_ends_with_one_line_and_exit_code_1(called, error):
    with pytest.raises(SystemExit) as caught:
        called(raising(error))
    # The interpreter prints a text code on standard error and exits with 1.
    assert caught.value.code == f"error: {error}"


def test_an_interruption_ends_with_exit_code_130(called, capsys):
    with pytest.raises(SystemExit) as caught:
        called(raising(KeyboardInterrupt()))
    assert caught.value.code == 130
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "interrupted; run the same command again (training goes on where it stopped)\n"


@pytest.mark.parametrize("error", [RuntimeError("a bug"), ValueError("a bug"), FileNotFoundError("a bug")])
def test_other_errors_keep_their_traceback(called, error):
    with pytest.raises(type(error), match="a bug"):
        called(raising(error))


def test_a_stage_that_ends_well_exits_by_itself(called):
    done = []
    called(lambda context: done.append(context.run))
    assert done == ["digits-pixels"]


def test_a_reader_that_has_seen_enough_ends_a_command_without_a_traceback(repository):
    line = f"{sys.executable} -u -m commands.experiments | head -n 1"
    done = subprocess.run(["bash", "-c", line], cwd=repository, capture_output=True, text=True, check=True)
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""
