from types import SimpleNamespace

import pytest
import torch

from pipeline_lib.artifacts.folder import META
from stages._context import StageContext
from stages._resumable import ResumableTraining

SETTINGS = {"rate": 0.5}


class Counting:
    """A training of four steps that adds up their numbers and can be interrupted after one."""

    def __init__(self, stop_after=None):
        self.step, self.total, self.taken = 0, torch.zeros(1), []
        self.stop_after = stop_after

    @property
    def position(self):
        return f"after step {self.step}"

    def state(self):
        return {"step": self.step, "total": self.total}

    def resume(self, state):
        self.step, self.total = state["step"], state["total"]

    def run(self, after=None):
        while self.step < 4:
            self.step += 1
            self.taken.append(self.step)
            self.total = self.total + self.step
            if after is not None:
                after(self)
            if self.step == self.stop_after:
                raise KeyboardInterrupt
        return float(self.total)


@pytest.fixture
def training(tmp_path, monkeypatch):
    """Makes a training of the stage ``teach`` of the run ``digits``."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    (tmp_path / META).write_text("{}")

    def make(*, settings=SETTINGS, seconds=0.0, part="", first=True, processes=1, device="cpu", seed=0):
        machine = SimpleNamespace(checkpoint_seconds=seconds, device=device)
        params = SimpleNamespace(machine=machine, suite=SimpleNamespace(seed=seed))
        context = StageContext("teach", params, "digits", "")
        fabric = SimpleNamespace(world_size=processes, is_global_zero=first, print=print)
        return ResumableTraining(context, fabric, settings, [tmp_path], part)

    return make


def interrupt(training, step=2):
    with pytest.raises(KeyboardInterrupt):
        training.run(Counting(stop_after=step))


def test_an_interrupted_training_goes_on_and_says_so(training, capsys):
    assert training().is_new
    interrupt(training())
    assert capsys.readouterr().out == ""
    again, trainer = training(), Counting()
    assert not again.is_new
    assert again.run(trainer) == 10
    assert trainer.taken == [3, 4]
    assert capsys.readouterr().out == "teach@digits: resuming after step 2\n"


def test_an_ended_training_is_not_repeated_until_its_state_is_discarded(training):
    ended = training(seconds=3600.0)
    assert ended.run(Counting()) == 10
    trainer = Counting()
    assert training().run(trainer) == 10
    assert trainer.taken == []
    ended.discard()
    assert training().is_new


def test_nothing_is_stored_before_the_interval_has_passed(training):
    interrupt(training(seconds=3600.0))
    assert training().is_new


def test_only_the_first_process_stores(training):
    interrupt(training(first=False, processes=2))
    training(first=False, processes=2).run(Counting())
    assert training(processes=2).is_new


@pytest.mark.parametrize("changed", [{"settings": {"rate": 0.25}}, {"part": "frozen"}, {"processes": 2}, {"seed": 1}])
def test_another_training_does_not_find_the_state(training, changed):
    interrupt(training())
    assert training(**changed).is_new


def test_settings_of_the_machine_lose_no_progress(training):
    interrupt(training())
    assert not training(device="cuda", seconds=60.0).is_new


def test_other_inputs_start_anew(training, tmp_path):
    interrupt(training())
    (tmp_path / META).write_text('{"files": {}}')
    assert training().is_new


def test_a_part_is_named(training, capsys):
    interrupt(training(part="frozen"), step=1)
    training(part="frozen").run(Counting())
    assert capsys.readouterr().out == "teach@digits: frozen resuming after step 1\n"
