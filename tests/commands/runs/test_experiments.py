import json
import sys
import types
from pathlib import Path

import pytest
from commands.runs.experiments import Experiments
from commands.runs.stage_graph import StageFacts, StageGraph

from pipeline_lib.artifacts.folder import write_json
from pipeline_lib.base.errors import MissingFileError
from pipeline_lib.params.params import load_params

ROOT = Path(__file__).resolve().parents[3]


class Chain:
    """Two small stages, ``one`` → ``two``, that count their calls and copy a parameter into their figures."""

    def __init__(self, folder, monkeypatch):
        self.folder = folder
        self.calls = []
        self.fails = set()
        for name in ("one", "two"):
            module = types.ModuleType(f"stages.{name}")
            module.run = getattr(self, name)
            monkeypatch.setitem(sys.modules, f"stages.{name}", module)
            (folder / f"{name}.py").write_text(f"'{name}'")
        for kind, run in (("datasets", "digits"), ("features", "digits-pixels")):
            write_json(folder / "data" / kind / run / "meta.json", {"kind": kind, "default_blocks": ["pixels"]})

    def _begin(self, name):
        self.calls.append(name)
        if name in self.fails:
            raise KeyboardInterrupt
        print(f"{name} says something")

    def one(self, context):
        self._begin("one")
        assert (context.artifact("features") / "meta.json").is_file()
        write_json(context.artifact("heads") / "meta.json", {"threshold": context.params.knn.threshold})
        context.write_metrics({"threshold": context.params.knn.threshold})

    def two(self, context):
        self._begin("two")
        read = json.loads((context.artifact("heads") / "meta.json").read_text())
        context.write_metrics({"doubled": 2 * read["threshold"], "seed": context.params.consensus.seed})

    def experiments(self):
        stages = [
            StageFacts("one", ("datasets", "features"), ("heads",), ("one",), (Path("one.py"),), ("knn",)),
            StageFacts(
                "two", ("heads",), (), ("two",), (Path("two.py"),), ("consensus", "datasets.${item.data}.classes")
            ),
        ]
        return Experiments(StageGraph(stages), "digits", "pixels", self.folder, self.folder / "scratch")

    def figures(self, **changes):
        changes = {key.replace("__", "."): value for key, value in changes.items()}
        return self.experiments().figures(["two"], load_params(ROOT / "params.yaml", changes))[0]


@pytest.fixture
def chain(tmp_path, monkeypatch):
    return Chain(tmp_path, monkeypatch)


def test_figures_of_all_stages_carry_the_name_of_their_file(chain, capsys):
    assert chain.figures(knn__threshold=0.25) == {"one.threshold": 0.25, "two.doubled": 0.5, "two.seed": 0}
    assert chain.calls == ["one", "two"]
    assert capsys.readouterr().out == ""


def test_a_second_run_only_reads(chain):
    first = chain.figures()
    assert chain.figures() == first
    assert chain.calls == ["one", "two"]


def test_what_two_experiments_have_in_common_is_shared(chain):
    assert chain.figures(consensus__seed=1)["two.seed"] == 1
    assert chain.figures(consensus__seed=2)["two.seed"] == 2
    assert chain.calls == ["one", "two", "two"]


def test_a_change_upstream_runs_what_follows(chain):
    chain.figures(knn__threshold=0.25)
    assert chain.figures(knn__threshold=0.5)["two.doubled"] == 1.0
    assert chain.calls == ["one", "two"] * 2


@pytest.mark.parametrize("changes", [{"knn__threads": 7}, {"train_heads__heads": 3}, {"datasets__cifar10__classes": 3}])
def test_settings_that_decide_nothing_here_run_nothing(chain, changes):
    chain.figures()
    chain.figures(**changes)
    assert chain.calls == ["one", "two"]


def test_facts_of_the_data_set_count(chain):
    chain.figures()
    chain.figures(datasets__digits__classes=9)
    assert chain.calls == ["one", "two", "two"]


def test_other_code_or_other_features_run_again(chain):
    chain.figures()
    (chain.folder / "two.py").write_text("'changed'")
    chain.figures()
    assert chain.calls == ["one", "two", "two"]
    write_json(chain.folder / "data/features/digits-pixels/meta.json", {"default_blocks": ["cls", "patch_mean"]})
    chain.figures()
    # Stage one gives the same as before, so that nothing follows from it.
    assert chain.calls == ["one", "two", "two", "one"]
    assert chain.experiments().feature_blocks() == ("cls", "patch_mean")


def test_an_interrupted_set_goes_on_after_what_was_finished(chain):
    chain.fails = {"two"}
    with pytest.raises(KeyboardInterrupt):
        chain.figures()
    chain.fails = set()
    assert chain.figures()["two.doubled"] == 2 * load_params(ROOT / "params.yaml").knn.threshold
    assert chain.calls == ["one", "two", "two"]


def test_the_output_of_a_stage_is_kept_in_a_log(chain):
    chain.figures()
    logs = {path.read_text() for path in chain.folder.glob("scratch/*/log.txt")}
    assert logs == {"one says something\n", "two says something\n"}


@pytest.mark.parametrize(
    ("kind", "command"), [("datasets", "stages.prepare --data digits"), ("features", "stages.extract")]
)
def test_missing_inputs_are_named_with_the_command_that_makes_them(chain, kind, command):
    run = "digits" if kind == "datasets" else "digits-pixels"
    (chain.folder / "data" / kind / run / "meta.json").unlink()
    with pytest.raises(
        MissingFileError, match=rf"data/{kind}/{run}: not found; make it with `python -m {command}"
    ) as caught:
        chain.experiments()
    assert "\n" not in str(caught.value)
