import csv
import sys
from pathlib import Path

import pytest
from commands.runs.ablation_runs import Plan, checked_runs, seeded
from commands.runs.stage_graph import read_stage_graph

from commands import ablation
from pipeline_lib.base.errors import UserError
from pipeline_lib.experiments.definitions import load_definitions
from pipeline_lib.params.params import load_params
from stages import extract, prepare
from stages._context import StageContext

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def here(monkeypatch):
    monkeypatch.chdir(ROOT)


def plan(name, settings=None, seeds=1, single=None):
    given = {**(settings or {}), **(single or {})}
    return Plan(name, load_definitions(), read_stage_graph(), given, single or {}, seeds)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("data", "backbone", "expected"),
    [
        (None, None, [("digits", "pixels")]),
        ("digits,stl10", "pixels", [("digits", "pixels"), ("stl10", "pixels")]),
        ("digits, stl10", "pixels,dino_vitb16", [("digits", "pixels"), ("stl10", "dino_vitb16")]),
    ],
)
def test_data_sets_and_backbones_are_paired(data, backbone, expected):
    assert checked_runs(data, backbone, {}) == expected


@pytest.mark.usefixtures("here")
def test_the_suite_of_a_preset_is_the_default():
    changes = {"suite.data": ["cifar10"], "suite.backbone": ["dinov2_vitl14_reg"]}
    assert checked_runs(None, None, changes) == [("cifar10", "dinov2_vitl14_reg")]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("data", "backbone", "message"),
    [
        ("digit", "pixels", r"--data digit: unknown; did you mean digits\? allowed: digits, "),
        ("digits", "pixel", r"--backbone pixel: unknown; did you mean pixels\?"),
        ("digits,stl10,cifar10", "pixels,pixels", "--backbone pixels,pixels: allowed: one, or one for each of the 3"),
    ],
)
def test_wrong_names_are_refused_in_one_line(data, backbone, message):
    with pytest.raises(UserError, match=message) as caught:
        checked_runs(data, backbone, {})
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "lader"}, r"ablation lader: unknown; did you mean ladder"),
        ({"name": "ladder", "seeds": 0}, r"--seeds 0: allowed: 1 or more"),
        ({"name": "ladder", "single": {"knn.k_min": 9}}, r"-S knn\.k_min=9: the rows of ladder set this key"),
        ({"name": "heads", "single": {"train_heads.beta": 2}}, r"train_heads\.beta = 2: allowed: "),
        (
            {"name": "threshold", "single": {"knn.treshold": 2}},
            r"knn\.treshold = 2: unknown key; did you mean threshold",
        ),
    ],
)
def test_wrong_plans_are_refused_before_any_run_in_one_line(arguments, message):
    with pytest.raises(UserError, match=message) as caught:
        plan(**arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("here")
def test_a_preset_may_set_what_the_rows_vary():
    plan("threshold", settings={"knn.threshold": 0.3})


def test_one_seed_goes_to_all_sections_that_draw():
    params = load_params(ROOT / "params.yaml")
    seeds = seeded(params, 3)
    assert set(seeds.values()) == {3}
    assert set(seeds) >= {"train_heads.seed", "consensus.seed", "self_train.seed", "evaluate.seed"}
    assert not {"prepare.seed", "knn.seed"} & set(seeds)
    approximate = load_params(ROOT / "params.yaml", {"knn.index": "IVF64,Flat"})
    assert seeded(approximate, 3)["knn.seed"] == 3


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """A folder with links to the code, and the features of a few digits."""
    for name in ("pipeline_lib", "stages", "conf", "params.yaml", "dvc.yaml"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "data/raw/digits").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    params = load_params(changes={"prepare.limit_per_split": 200})
    prepare.run(StageContext("prepare", params, "digits", "", root=tmp_path))
    extract.run(StageContext("extract", params, "digits", "pixels", root=tmp_path))
    return tmp_path


QUICK = ["train_heads.heads=2", "train_heads.iterations=20", "self_train.iterations=20", "train_heads.batch_size=64"]


def called(monkeypatch, *arguments):
    settings = [argument for setting in QUICK for argument in ("-S", setting)]
    monkeypatch.setattr(sys, "argv", ["ablation", *arguments, *settings])
    ablation.main()


@pytest.mark.slow
def test_a_set_runs_in_this_process_and_a_second_time_from_what_is_there(workspace, monkeypatch, capsys):
    arguments = ("features", "--data", "digits", "--backbone", "pixels", "--seeds", "2")
    called(monkeypatch, *arguments)
    first = capsys.readouterr().out
    folder = workspace / "reports/ablations"
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert set(files) == {"features-digits-pixels.md", "features-digits-pixels.csv"}
    rows = list(csv.DictReader((folder / "features-digits-pixels.csv").read_text().splitlines()))
    baseline = next(
        row for row in rows if (row["row"], row["group"], row["measure"]) == ("baseline", "Best head", "acc")
    )
    assert 10 < float(baseline["mean"]) <= 100
    assert (baseline["seeds"], baseline["published"]) == ("2", "91.10")
    assert {row["remark"] for row in rows if row["row"] == "+ Feat"} == {
        "does not apply: pixels gives one block of features"
    }
    # Both seeds share one neighbour search.
    assert len(list(workspace.glob("scratch/ablations/*/data/neighbors/digits-pixels/indices.npy"))) == 3
    assert (
        len([p for p in workspace.glob("scratch/ablations/*/data/neighbors/digits-pixels") if not p.is_symlink()]) == 1
    )
    assert "there already" not in first
    called(monkeypatch, *arguments)
    second = capsys.readouterr().out
    assert second.count("there already") == 2
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == files


@pytest.mark.slow
def test_a_data_set_without_labels_is_refused_before_any_run(workspace, monkeypatch, capsys):
    monkeypatch.setattr("commands.runs.experiments.Experiments.labelled", lambda _: False)
    with pytest.raises(
        UserError, match="--data digits: its val split has no labels, which the tables of smoothing need"
    ):
        called(monkeypatch, "smoothing", "--data", "digits", "--backbone", "pixels")
    assert "smoothing" not in capsys.readouterr().out
    assert not (workspace / "scratch").exists()


@pytest.mark.slow
def test_neighbours_of_all_thresholds_need_no_training(workspace, monkeypatch):
    called(monkeypatch, "neighbor_accuracy", "--data", "digits", "--backbone", "pixels")
    rows = list(csv.DictReader((workspace / "reports/ablations/neighbor_accuracy.csv").read_text().splitlines()))
    shares = {row["row"]: float(row["mean"]) for row in rows if row["mean"]}
    assert shares["0.9"] >= shares["0.5"] >= shares["0.1"] > 10
    assert (workspace / "reports/ablations/neighbor_accuracy.png").is_file()
    assert not list(workspace.glob("scratch/ablations/*/data/heads"))
