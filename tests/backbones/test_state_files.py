import argparse
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from pipeline_lib.backbones.state_files import read_state, state_digest
from pipeline_lib.base.errors import MissingFileError, UserError

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.ones(2)}
PARAMETER = "backbones.x.weights.path"


@pytest.mark.parametrize("wrapper", [(), ("state_dict",), ("teacher",), ("model",), ("teacher", "state_dict")])
def test_wrapped_and_plain_checkpoints(tmp_path: Path, wrapper: tuple[str, ...]) -> None:
    content: object = dict(STATE)
    for key in reversed(wrapper):
        content = {key: content, "epoch": 3}
    torch.save(content, tmp_path / "w.pth")
    state = read_state(tmp_path / "w.pth", PARAMETER)
    assert list(state) == list(STATE)
    torch.testing.assert_close(state["a.weight"], STATE["a.weight"])


def test_the_teacher_is_preferred(tmp_path: Path) -> None:
    torch.save({"student": {"a": torch.zeros(1)}, "teacher": {"a": torch.ones(1)}}, tmp_path / "w.pth")
    assert float(read_state(tmp_path / "w.pth", PARAMETER)["a"]) == 1


def test_safetensors(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "w.safetensors")
    torch.testing.assert_close(read_state(tmp_path / "w.safetensors", PARAMETER)["a.bias"], STATE["a.bias"])


def test_other_python_objects_are_refused_by_name(tmp_path: Path) -> None:
    torch.save({"teacher": STATE, "args": argparse.Namespace(lr=1)}, tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"w\.pth: holds a Python object of argparse\.Namespace"):
        read_state(tmp_path / "w.pth", PARAMETER)


def test_content_that_is_no_state_dict(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "lr": 0.1}, tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"expected a state dict of tensors, found epoch \(int\), lr \(float\)"):
        read_state(tmp_path / "w.pth", PARAMETER)
    torch.save([1, 2], tmp_path / "w.pth")
    with pytest.raises(UserError, match="found list"):
        read_state(tmp_path / "w.pth", PARAMETER)
    torch.save({}, tmp_path / "w.pth")
    with pytest.raises(UserError, match="found dict without any"):
        read_state(tmp_path / "w.pth", PARAMETER)


def test_absent_unknown_and_damaged_files(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"backbones\.x\.weights\.path = .*w\.pth: no such file"):
        read_state(tmp_path / "w.pth", PARAMETER)
    (tmp_path / "w.onnx").write_bytes(b"x")
    with pytest.raises(UserError, match=r"allowed are files that end in \.safetensors, \.pth"):
        read_state(tmp_path / "w.onnx", PARAMETER)
    for name in ("w.pth", "w.safetensors"):
        (tmp_path / name).write_bytes(b"not weights at all")
        with pytest.raises(UserError, match=name) as caught:
            read_state(tmp_path / name, PARAMETER)
        assert "\n" not in str(caught.value)
    torch.save(STATE, tmp_path / "whole.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "whole.pth").read_bytes()[:-300])
    with pytest.raises(UserError, match=r"cut\.pth: not a readable weight file"):
        read_state(tmp_path / "cut.pth", PARAMETER)


def test_digest_sees_values_names_and_shapes() -> None:
    torch.manual_seed(0)
    module = nn.BatchNorm1d(4)
    first = state_digest(module)
    assert state_digest(module) == first
    module.running_mean[2] += 1e-6
    assert state_digest(module) != first
    assert state_digest(nn.Linear(2, 4, bias=False)) != state_digest(nn.Linear(4, 2, bias=False))
