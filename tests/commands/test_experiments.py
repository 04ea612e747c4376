"""The command of the experiments, as it is called."""

import csv
import sys
from pathlib import Path

import pytest

from commands import experiments
from pipeline_lib.base.errors import UserError
from pipeline_lib.experiments.definitions import ExperimentSet
from pipeline_lib.experiments.results import Part, RunResults
from pipeline_lib.experiments.rows import Row, Table
from pipeline_lib.params.params import load_params
from stages import extract, prepare
from stages._context import StageContext

QUICK = ["train_heads.heads=2", "train_heads.iterations=20", "self_train.iterations=20", "train_heads.batch_size=64"]


def called(monkeypatch, *arguments):
    settings = [argument for setting in QUICK for argument in ("-S", setting)]
    monkeypatch.setattr(sys, "argv", ["experiments", *arguments, *settings])
    experiments.main()


def test_without_a_name_the_sets_of_both_chains_are_listed(repository, monkeypatch, capsys):
    monkeypatch.chdir(repository)
    called(monkeypatch)
    listed = capsys.readouterr().out
    for line in ("ladder            The enhancements one after the other", "masks             Pseudo-masks"):
        assert line in listed.splitlines()


def test_all_sets_are_planned_before_the_first_one_runs(repository, monkeypatch):
    monkeypatch.chdir(repository)
    monkeypatch.setattr(experiments, "made", lambda *_: pytest.fail("a set was run"))
    with pytest.raises(UserError, match="experiment set lader: unknown; did you mean ladder"):
        called(monkeypatch, "seeds", "lader")


CHOICE = experiments.Choice("name", method="moco")
RUNS = [RunResults("scenes", [], target="scenes"), RunResults("digits", [], "pixels")]
TABLE = Table(title="T", groups=["best_head"])


def reports(tables, parts):
    rows = [Row(name="a")]
    chosen = ExperimentSet(title="T", rows=rows, tables=tables)
    return {path.name: len(found) for path, found in experiments.reports_of(CHOICE, chosen, parts).items()}


def test_each_data_set_has_a_report_unless_tables_put_them_side_by_side():
    side_by_side = Table(title="T", groups=["best_head"], layout="data_sets")
    assert reports([TABLE], [Part([TABLE], RUNS)]) == {"name-moco-scenes": 1, "name-moco-digits-pixels": 1}
    assert reports([side_by_side], [Part([side_by_side], RUNS)]) == {"name-moco": 1}


def test_tables_with_conditions_of_their_own_are_in_one_report():
    parts = [Part([TABLE], RUNS[:1]), Part([TABLE], RUNS[1:], "digits")]
    assert reports([TABLE, TABLE], parts) == {"name-moco": 2}
    assert reports([TABLE, TABLE], parts[1:]) == {"name-moco": 1}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, repository):
    """A folder with links to the code, and the features of a few digits."""
    folder: Path = tmp_path_factory.mktemp("workspace")
    for name in ("pipeline_lib", "stages", "commands", "conf", "params.yaml", "dvc.yaml"):
        (folder / name).symlink_to(repository / name)
    (folder / "data/raw/digits").mkdir(parents=True)
    params = load_params(folder / "params.yaml", {"prepare.limit_per_split": 200})
    prepare.run(StageContext("prepare", params, "digits", "", root=folder))
    extract.run(StageContext("extract", params, "digits", "pixels", root=folder))
    return folder


@pytest.mark.slow
def test_a_set_runs_and_a_second_time_reads_what_is_there(workspace, monkeypatch, capsys):
    monkeypatch.chdir(workspace)
    arguments = ("features", "--data", "digits", "--backbone", "pixels", "--seeds", "2", "-S", "knn.threshold=0.5")
    called(monkeypatch, *arguments)
    first = capsys.readouterr().out
    folder = workspace / "reports/experiments"
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
    # Both seeds share one neighbour search, which draws nothing above a given threshold.
    made = list(workspace.glob("scratch/experiments/*/data/neighbors/digits-pixels"))
    assert len([path for path in made if not path.is_symlink()]) == 1
    assert "there already" not in first
    called(monkeypatch, *arguments)
    assert capsys.readouterr().out.count("there already") == 2
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == files


@pytest.mark.slow
def test_measures_that_no_stage_writes_are_made_without_training(workspace, monkeypatch):
    monkeypatch.chdir(workspace)
    called(monkeypatch, "neighbor_accuracy", "--rows", "0.9,0.5,0.1")
    rows = list(csv.DictReader((workspace / "reports/experiments/neighbor_accuracy.csv").read_text().splitlines()))
    shares = {row["row"]: float(row["mean"]) for row in rows if row["mean"]}
    assert shares["0.9"] >= shares["0.5"] >= shares["0.1"] > 10
    assert (workspace / "reports/experiments/neighbor_accuracy.png").is_file()
    logs = [path.read_text() for path in workspace.glob("scratch/experiments/*/log.txt")]
    assert not [log for log in logs if "neighbor_accuracy" in log]
