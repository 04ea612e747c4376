"""Steps of the SegIns chain are run once, in folders of their own, and what experiments have in common is shared."""

import json
import sys
import types
from pathlib import Path

import pytest
from commands.runs.segins_chain import SegInsChain
from commands.runs.segins_plan import Choice, SegInsPlan
from pipeline_lib.experiments.segins_definitions import ExperimentSet, Row, Table

from pipeline_lib.artifacts.folder import write_json
from pipeline_lib.base.errors import MissingFileError, UserError
from pipeline_lib.params.params import load_params

ROOT = Path(__file__).resolve().parents[3]
STAGES = (
    "scenes", "annotate", "given_checkpoint", "pretrain_baseline", "masks", "pretrain_segins",
    "linear_eval", "detection", "segmentation",
)  # fmt: skip
EXPERIMENTS = ExperimentSet(
    title="T",
    rows=(
        Row(start="moco-baseline", name="base"),
        Row(start="moco-segins", name="one", against="base"),
        Row(start="moco-segins", name="five", settings={"segins.lambda": 5.0}, against="base"),
    ),
    tables=(Table(title="T", measures=("top1", "ap", "id_loss")),),
)


class Stages:
    """Stand-ins for the stages: they count their calls and pass on what they read and were told."""

    def __init__(self, monkeypatch):
        self.calls: list[str] = []
        self.refused: dict[str, str] = {}
        for name in STAGES:
            module = types.ModuleType(f"stages.{name}")
            module.run = lambda context, name=name: self.run(name, context)
            monkeypatch.setitem(sys.modules, f"stages.{name}", module)

    def run(self, name, context):
        told = "-".join(part for part in (name, context.method, context.start) if part)
        self.calls.append(told)
        print(f"{told} says something")
        if told in self.refused:
            raise UserError(self.refused[told])
        getattr(self, name, lambda _: None)(context)

    def scenes(self, context):
        path = context.root / "data/raw/scenes/0.txt"
        path.parent.mkdir(parents=True)
        path.write_text(str(context.params.scenes.seed))

    def annotate(self, context):
        raw = context.artifact("raw")
        assert (raw / "0.txt").is_file()
        # As the data set's artifact does: it records where its images lie.
        write_json(context.images() / "meta.json", {"root": str(raw)})
        context.write_metrics({"images": 1})

    def given_checkpoint(self, context):
        write_json(context.checkpoint(context.start) / "meta.json", {"seed": context.params.pretrain.seed})

    def pretrain_baseline(self, context):
        assert (Path(json.loads((context.images() / "meta.json").read_text())["root"]) / "0.txt").is_file()
        seed = context.params.pretrain.seed
        write_json(context.checkpoint(f"{context.method}-baseline") / "meta.json", {"top1": 0.1 + seed / 100})
        context.write_metrics({"id_loss": 1.0, "collapsed": seed == 1})

    def masks(self, context):
        assert (context.checkpoint(f"{context.method}-baseline") / "meta.json").is_file()
        write_json(context.masks() / "meta.json", {"source": context.params.masks.source})
        context.write_metrics({"pseudo": {"iou_with_masks": 0.5}})

    def pretrain_segins(self, context):
        weight = context.params.segins.weight
        value = 0.2 if weight == "auto" else weight / 10
        write_json(context.checkpoint(f"{context.method}-segins") / "meta.json", {"top1": value})
        context.write_metrics({"id_loss": 2.0, "collapsed": False})

    def linear_eval(self, context):
        context.write_metrics(json.loads((context.checkpoint(context.start) / "meta.json").read_text()))

    def detection(self, context):
        context.write_metrics({"ap": 0.5})


@pytest.fixture
def stages(monkeypatch):
    monkeypatch.chdir(ROOT)
    return Stages(monkeypatch)


@pytest.fixture
def chain(tmp_path):
    return SegInsChain(ROOT, tmp_path / "scratch")


def figures(chain, *names, **changes):
    params = load_params(changes={key.replace("__", "."): value for key, value in changes.items()})
    return chain.metrics([Path("metrics/segins/scenes") / f"{name}.json" for name in names], params)[0]


def test_metrics_of_the_whole_chain_are_given(stages, chain):
    found = {path.name: values for path, values in figures(chain, "linear_eval-moco-segins").items()}
    assert found["linear_eval-moco-segins.json"] == {"top1": 0.2}
    assert found["masks-moco.json"] == {"pseudo": {"iou_with_masks": 0.5}}
    assert "scenes" in stages.calls


def test_equal_steps_are_made_once_and_changed_ones_again(stages, chain, tmp_path):
    figures(chain, "linear_eval-moco-segins", "linear_eval-moco-baseline")
    assert len(stages.calls) == len(set(stages.calls)) == 7
    stages.calls.clear()
    again = SegInsChain(ROOT, tmp_path / "scratch")
    figures(again, "linear_eval-moco-segins", "linear_eval-moco-baseline", pretrain__workers=7)
    assert stages.calls == []
    figures(again, "linear_eval-moco-segins", segins__lambda=5.0)
    assert stages.calls == ["pretrain_segins-moco", "linear_eval-moco-segins"]
    stages.calls.clear()
    figures(again, "linear_eval-moco-segins", scenes__seed=1)
    assert stages.calls[:2] == ["scenes", "annotate"]


@pytest.mark.usefixtures("stages")
def test_what_a_stage_says_is_in_its_folder(chain, tmp_path, capsys):
    figures(chain, "linear_eval-random")
    assert capsys.readouterr().out == ""
    assert {path.read_text() for path in (tmp_path / "scratch").glob("*/log.txt")} == {
        "scenes says something\n",
        "annotate says something\n",
        "given_checkpoint-random says something\n",
        "linear_eval-random says something\n",
    }


@pytest.mark.usefixtures("stages")
def test_raw_files_are_looked_for_in_the_workspace(chain):
    changes = {
        "segins_suite__data": ["voc2007"],
        "segins_suite__sets": ["voc2007"],
        "segins_suite__target": ["voc2007"],
    }
    params = load_params(changes={key.replace("__", "."): value for key, value in changes.items()})
    elsewhere = SegInsChain(chain._scratch.parent, chain._scratch)
    (chain._scratch.parent / "dvc.yaml").symlink_to(ROOT / "dvc.yaml")
    with pytest.raises(MissingFileError, match="data/raw/voc2007: not found"):
        elsewhere.metrics([Path("metrics/segins/voc2007/linear_eval-random.json")], params)


def run_plan(chain, choice, single=None):
    plan = SegInsPlan(EXPERIMENTS, choice, single or {}, single or {})
    reports = []
    return plan, plan.run(chain, lambda results: reports.append(sum(len(found.runs) for found in results))), reports


def test_a_plan_runs_all_rows_and_seeds_and_reports_after_each(stages, chain, capsys):
    _, results, reports = run_plan(chain, Choice("set", 2))
    assert reports == [1, 2, 3, 4, 5, 6]
    assert results[0].runs == {
        0: {"top1": 0.1, "ap": 0.5, "id_loss": 1.0},
        1: {"top1": pytest.approx(0.11), "ap": 0.5, "id_loss": 1.0},
    }
    assert results[2].runs[1]["top1"] == 0.5
    assert results[0].collapsed == [1]
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    assert lines[0].startswith("set scenes 1/6: base, seed 0: top-1 10.0, AP 50.0 [")
    assert stages.calls.count("scenes") == 1


def test_a_refused_row_is_left_out_and_the_others_go_on(stages, chain, capsys):
    stages.refused["pretrain_segins-moco"] = "Traceback\nsegins.lambda: no"
    _, results, _ = run_plan(chain, Choice("set", 2))
    assert [found.reason for found in results] == ["", "segins.lambda: no", "segins.lambda: no"]
    assert len(results[0].runs) == 2
    assert "set scenes 2/6: one, seed 0: segins.lambda: no" in capsys.readouterr().out
    stages.refused["pretrain_baseline-moco"] = "no images"
    with pytest.raises(UserError, match="no images"):
        run_plan(chain, Choice("set", 1), {"pretrain.epochs": 3})


def test_rows_and_evaluations_can_be_chosen(stages, chain):
    _, results, _ = run_plan(chain, Choice("set", 1, rows=("five",), stages=("linear_eval",)))
    assert [found.row.name for found in results] == ["five"]
    assert set(results[0].runs[0]) == {"top1", "id_loss"}
    assert not [call for call in stages.calls if call.startswith("detection")]


@pytest.mark.usefixtures("stages")
def test_impossible_choices_are_refused_in_one_line(chain):
    for choice, single, complaint in (
        (Choice("set", 0), {}, "--seeds 0: allowed: 1 or more"),
        (Choice("set", 1, data="scene"), {}, "--data scene: unknown; did you mean scenes"),
        (Choice("set", 1, rows=("six",)), {}, "--rows six: unknown"),
        (Choice("set", 1), {"segins.lambda": 1.0}, "-S segins.lambda=1.0: the rows of set set this key"),
    ):
        with pytest.raises(UserError, match=complaint.replace(".", r"\.")):
            run_plan(chain, choice, single)


@pytest.mark.usefixtures("stages")
def test_starts_that_the_suite_lacks_are_left_out():
    experiments = EXPERIMENTS.model_copy(update={"rows": (*EXPERIMENTS.rows, Row(start="supervised", name="sup"))})
    assert SegInsPlan(experiments, Choice("set", 1), {}, {}).gaps == {"sup": "supervised is not in segins_suite"}
