"""Steps are run once, in folders of their own, and what experiments have in common is shared."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from commands.runs.runs import LOG
from pipeline_lib.base.errors import MissingFileError, UserError
from pipeline_lib.params.params import load_params

KNN, SIMILARITY = "digits-pixels/knn", "digits-pixels/similarity"
SEGINS, BASELINE = "segins/scenes/linear_eval-moco-segins", "segins/scenes/linear_eval-moco-baseline"


def test_values_of_all_steps_carry_the_name_of_their_file(toy, capfd):
    values = toy.values(KNN, SIMILARITY, knn__threshold=0.5)
    assert values == {"knn.neighbors_mean": 10.0, "similarity.oracle_accuracy_above_0.5": 0.5}
    assert toy.calls() == ["classes", "knn", "similarity"]
    assert capfd.readouterr().out == ""
    found = toy.values(SEGINS)
    assert found["linear_eval.top1"] == 0.2
    assert found["masks.pseudo.iou_with_masks"] == 0.5


def test_a_second_run_only_reads(toy):
    first = toy.values(SIMILARITY)
    toy.calls()
    assert toy.values(SIMILARITY) == first
    assert toy.calls() == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"machine__threads": 7}, []),
        ({"train_heads__heads": 3}, []),
        ({"datasets__cifar10__classes": 3}, []),
        ({"knn__threshold": 0.5}, ["knn", "similarity"]),
        # Other classes give the same artifact, so that nothing follows from it.
        ({"datasets__digits__classes": 9}, ["classes"]),
    ],
)
def test_what_decides_a_step_runs_it_again_and_nothing_else(toy, changes, expected):
    toy.values(SIMILARITY)
    toy.calls()
    toy.values(SIMILARITY, **changes)
    assert toy.calls() == expected


@pytest.mark.parametrize(
    ("changes", "searches"),
    [
        ({"knn__threshold": 0.5}, 1),
        ({"knn__adaptive": False}, 1),
        ({"knn__threshold": "auto"}, 2),
        ({"knn__threshold": 0.5, "knn__index": "IVF64,Flat"}, 2),
    ],
)
def test_seeds_share_an_exact_search_above_a_given_threshold(toy, changes, searches):
    for seed in (0, 1):
        toy.values(KNN, suite__seed=seed, **changes)
    assert toy.calls().count("knn") == searches


def test_other_code_other_features_and_other_measures_run_again(toy):
    toy.values(SIMILARITY)
    toy.calls()
    for name, expected in (("stages/knn.py", ["knn"]), ("commands/measures/similarity.py", ["similarity"])):
        path = toy.folder / name
        path.write_text(path.read_text() + "# changed\n")
        toy.values(SIMILARITY)
        assert toy.calls() == expected
    toy.give("features/digits-pixels", {"default_blocks": ["cls", "patch_mean"]})
    toy.values(SIMILARITY)
    assert toy.calls() == ["classes", "knn"]


def test_equal_steps_of_the_other_chain_are_made_once_too(toy):
    toy.values(SEGINS, BASELINE)
    calls = toy.calls()
    assert len(calls) == len(set(calls)) == 7
    toy.values(SEGINS, BASELINE, machine__workers=7)
    assert toy.calls() == []
    toy.values(SEGINS, segins__lambda=5.0)
    assert toy.calls() == ["pretrain_segins-moco", "linear_eval-moco-segins"]


def test_images_of_a_raw_folder_are_at_hand_for_all_that_follows(toy):
    assert toy.values(BASELINE)["linear_eval.images"] == 25
    toy.calls()
    # The artifact with the names of the images is the same; what is in them is not.
    assert toy.values(BASELINE, scenes__contrast=0.5)["linear_eval.images"] == 5
    assert toy.calls() == ["scenes", "annotate", "pretrain_baseline-moco", "linear_eval-moco-baseline"]


def test_files_that_parameters_name_are_at_hand_and_count(toy):
    weights = toy.folder / "weights" / "moco.pth"
    weights.parent.mkdir()
    weights.write_text("1")
    toy.values(BASELINE, moco__baseline="weights/moco.pth")
    assert [path.read_text() for path in toy.scratch.glob("*/weights/moco.pth")] == ["1"]
    toy.calls()
    weights.write_text("22")
    toy.values(BASELINE, moco__baseline="weights/moco.pth")
    assert toy.calls() == ["pretrain_baseline-moco"]


def test_a_folder_has_all_parameters_and_what_the_stage_said(toy):
    toy.values(KNN, knn__threshold=0.5)
    said = {json.loads(path.read_text())["stage"]: path.parent for path in toy.scratch.glob("*/finished.json")}
    assert set(said) == {"classes", "knn"}
    assert (said["knn"] / LOG).read_text() == "knn says something\n"
    assert load_params(said["knn"] / "params.yaml") == load_params(changes={"knn.threshold": 0.5})


def test_a_refusal_of_a_stage_is_an_error_in_one_line(toy):
    toy.tell(refused={"knn": "knn.k_min = 9: no"})
    with pytest.raises(UserError, match=r"^knn\.k_min = 9: no$"):
        toy.values(KNN)


def test_a_stage_that_breaks_is_named_with_its_log(toy):
    toy.tell(broken=["knn"])
    with pytest.raises(UserError, match=r"^knn ended with exit code 1; what it said is in .*log\.txt$") as caught:
        toy.values(KNN)
    assert "RuntimeError: broken" in Path(str(caught.value).rpartition(" ")[2]).read_text()
    toy.tell()
    toy.calls()
    assert toy.values(KNN)["knn.neighbors_mean"] == 10.0
    assert toy.calls() == ["knn"]


def test_a_launcher_that_is_not_there_is_an_error_in_one_line(toy):
    with pytest.raises(UserError, match="launcher: nowhere: no such command"):
        toy.values("digits-pixels/train_heads", launcher="nowhere --all")


INTERRUPTED = """
import signal
# A shell that starts tests in its background has them ignore the signal, and so what they start.
signal.signal(signal.SIGINT, signal.default_int_handler)
import sys
from pathlib import Path
from commands.runs.runs import Runs
from pipeline_lib.params.params import load_params
Runs(Path(), Path("scratch")).values([Path("metrics/digits-pixels/similarity.json")], load_params())
"""


@pytest.mark.slow
def test_an_interrupted_run_ends_its_stage_and_goes_on_after_what_was_finished(toy, repository):
    toy.tell(waits=["similarity"])
    environment = os.environ | {"PYTHONPATH": str(repository)}
    process = subprocess.Popen([sys.executable, "-P", "-c", INTERRUPTED], cwd=toy.folder, env=environment, stderr=-1)
    started = []
    while "similarity" not in started:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
        started += toy.calls()
    process.send_signal(signal.SIGINT)
    assert "KeyboardInterrupt" in process.communicate(timeout=30)[1].decode()
    toy.tell()
    toy.values(SIMILARITY)
    assert toy.calls() == ["similarity"]


@pytest.mark.parametrize(
    ("kind", "command"),
    [("datasets/digits", "stages.prepare --data digits"), ("features/digits-pixels", ".*stages.extract --data digits")],
)
def test_missing_inputs_are_named_with_the_command_that_makes_them(toy, kind, command):
    (toy.folder / "data" / kind / "meta.json").unlink()
    wanted = [Path("metrics/digits-pixels/knn.json")]
    with pytest.raises(MissingFileError, match=rf"data/{kind}: not found; make it with `.*{command}") as caught:
        toy.runs().check(wanted, load_params())
    assert "\n" not in str(caught.value)


def test_raw_files_are_looked_for_in_the_workspace(toy):
    names = {f"segins_suite.{key}": ["voc2007"] for key in ("data", "sets", "target")}
    with pytest.raises(MissingFileError, match="data/raw/voc2007: not found; put the data set's files there"):
        toy.runs().check([Path("metrics/segins/voc2007/linear_eval-random.json")], load_params(changes=names))
