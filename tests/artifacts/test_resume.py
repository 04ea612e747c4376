import json
import re
import threading
import time

import pytest
import torch

from pipeline_lib.artifacts.folder import META
from pipeline_lib.artifacts.resume import ResumableState, run_fingerprint, state_bytes

STATE = {
    "epoch": 3,
    "teacher": {"weight": torch.arange(6.0).reshape(2, 3)},
    "history": [{"epoch": 1, "loss": 0.5, "head_loss": [0.25, 0.75]}],
}


@pytest.fixture
def run(tmp_path):
    """Settings, code files and input artifacts of a run."""
    code = tmp_path / "code"
    (code / "inner").mkdir(parents=True)
    (code / "model.py").write_text("width = 1\n")
    (code / "inner" / "loss.py").write_text("factor = 1\n")
    inputs = tmp_path / "features"
    inputs.mkdir()
    (inputs / META).write_text(json.dumps({"files": {"values.npy": {"blake2b": "00"}}}))
    return {"seed": 0, "rate": 1e-3}, [code], [inputs]


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "main"))
    return tmp_path / "main"


def test_the_fingerprint_of_the_same_run_is_the_same(run):
    settings, code, inputs = run
    fingerprint = run_fingerprint(settings, code, inputs)
    assert re.fullmatch("[0-9a-f]{32}", fingerprint)
    assert run_fingerprint(dict(reversed(settings.items())), code, inputs) == fingerprint


@pytest.mark.parametrize("changed", [{"seed": 1}, {"rate": 1.1e-3}, {"extra": None}])
def test_the_fingerprint_changes_with_settings(run, changed):
    settings, code, inputs = run
    assert run_fingerprint(settings | changed, code, inputs) != run_fingerprint(settings, code, inputs)


@pytest.mark.parametrize("file", ["model.py", "inner/loss.py", "inner/new.py"])
def test_the_fingerprint_changes_with_code_also_in_subfolders(run, file):
    before = run_fingerprint(*run)
    (run[1][0] / file).write_text("width = 2\n")
    assert run_fingerprint(*run) != before


def test_the_fingerprint_does_not_change_with_compiled_code(run):
    before = run_fingerprint(*run)
    (run[1][0] / "__pycache__").mkdir()
    (run[1][0] / "__pycache__" / "model.cpython-311.pyc").write_bytes(b"\0")
    assert run_fingerprint(*run) == before


def test_the_fingerprint_changes_with_the_code_of_a_single_file(run):
    settings, code, inputs = run
    single = [code[0] / "model.py"]
    before = run_fingerprint(settings, single, inputs)
    single[0].write_text("width = 2\n")
    assert run_fingerprint(settings, single, inputs) != before


def test_the_fingerprint_changes_with_the_inputs(run):
    before = run_fingerprint(*run)
    (run[2][0] / META).write_text(json.dumps({"files": {"values.npy": {"blake2b": "01"}}}))
    assert run_fingerprint(*run) != before


def test_a_stored_state_is_loaded_by_the_same_run_only(workspace):
    ResumableState("train_heads", "a" * 32, 0).store(STATE)
    assert (workspace / "scratch" / "train_heads" / ("a" * 32) / "state.pt").is_file()
    loaded = ResumableState("train_heads", "a" * 32, 0).load()
    assert loaded["epoch"] == 3
    assert loaded["history"] == STATE["history"]
    assert torch.equal(loaded["teacher"]["weight"], STATE["teacher"]["weight"])
    assert ResumableState("train_heads", "b" * 32, 0).load() is None
    assert ResumableState("self_train", "a" * 32, 0).load() is None


def test_a_later_state_replaces_the_one_before_and_leaves_one_file(workspace):
    state = ResumableState("train_heads", "a" * 32, 0)
    state.store(STATE)
    state.store(STATE | {"epoch": 4})
    assert state.load()["epoch"] == 4
    assert [path.name for path in (workspace / "scratch" / "train_heads" / ("a" * 32)).iterdir()] == ["state.pt"]


def test_a_write_that_fails_leaves_the_state_before(workspace):
    assert not workspace.exists()
    state = ResumableState("train_heads", "a" * 32, 0)
    state.store(STATE)
    with pytest.raises((AttributeError, TypeError, RuntimeError), match="lambda"):
        state.store({"epoch": lambda: 4})
    assert state.load()["epoch"] == 3


def test_after_discarding_the_run_starts_anew(workspace):
    state = ResumableState("train_heads", "a" * 32, 0)
    other = ResumableState("train_heads", "b" * 32, 0)
    state.store(STATE)
    other.store(STATE)
    state.discard()
    assert state.load() is None
    assert other.load() is not None
    assert not (workspace / "scratch" / "train_heads" / ("a" * 32)).exists()
    state.discard()


def test_a_state_is_due_when_the_interval_has_passed_since_the_start_and_since_the_last_write(workspace, monkeypatch):
    assert not workspace.exists()
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    state = ResumableState("train_heads", "a" * 32, 20)
    assert not state.due()
    now = 119.0
    assert not state.due()
    now = 120.0
    assert state.due()
    state.store(STATE)
    assert not state.due()
    now = 140.0
    assert state.due()


def test_an_interval_of_zero_is_always_due(workspace):
    assert not workspace.exists()
    state = ResumableState("train_heads", "a" * 32, 0)
    state.store(STATE)
    assert state.due()


@pytest.mark.usefixtures("workspace")
def test_a_large_state_is_written_as_it_was_when_it_was_given(monkeypatch):
    monkeypatch.setattr("pipeline_lib.artifacts.resume._LARGE", 1)
    gate = threading.Event()
    save = torch.save

    def slow(value, stream):
        gate.wait(30)
        save(value, stream)

    monkeypatch.setattr(torch, "save", slow)
    state = ResumableState("train", "f", 0)
    weight = torch.zeros(3)
    state.store({"teacher": {"weight": weight}, "history": [{"epoch": 1}]}, wait=False)
    weight += 1  # the training goes on meanwhile
    assert ResumableState("train", "f", 0).load() is None
    gate.set()
    state.store({"epoch": 2}, wait=True)
    assert ResumableState("train", "f", 0).load() == {"epoch": 2}
    state.store({"teacher": {"weight": weight}, "history": [{"epoch": 1}]}, wait=False)
    weight += 1
    state._finish()
    found = ResumableState("train", "f", 0).load()
    assert found["teacher"]["weight"].tolist() == [1, 1, 1]
    assert found["history"] == [{"epoch": 1}]


@pytest.mark.usefixtures("workspace")
def test_a_failure_of_writing_beside_the_training_is_told_with_the_next_call(monkeypatch):
    monkeypatch.setattr("pipeline_lib.artifacts.resume._LARGE", 1)
    state = ResumableState("train", "f", 0)

    def full(_value, _stream):
        raise OSError("no space left")

    monkeypatch.setattr(torch, "save", full)
    state.store({"weight": torch.zeros(3)}, wait=False)
    with pytest.raises(OSError, match="no space"):
        state.store({"weight": torch.zeros(3)})


def test_bytes_of_a_state_are_those_of_its_tensors():
    assert state_bytes({"a": torch.zeros(3), "b": [torch.zeros(2, dtype=torch.int64), 5, ("x", torch.zeros(1))]}) == 32
