import pytest
import torch
from torch import nn

from pipeline_lib.base.errors import UserError
from pipeline_lib.segins.resnet.projector import build_projector


def simsiam_projector():
    def block():
        return [nn.Linear(6, 6, bias=False), nn.BatchNorm1d(6), nn.ReLU()]

    return nn.Sequential(*block(), *block(), nn.Linear(6, 5), nn.BatchNorm1d(5, affine=False))


def moco_projector():
    return nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 4))


@pytest.mark.parametrize("make", [simsiam_projector, moco_projector])
def test_a_projector_is_rebuilt_from_its_weights_alone(make):
    torch.manual_seed(0)
    projector = make()
    for _ in range(3):  # running statistics other than their start
        projector(torch.randn(16, 6) * 2 + 1)
    rebuilt = build_projector(projector.state_dict())
    assert not rebuilt.training
    inputs = torch.randn(7, 6)
    assert torch.equal(rebuilt(inputs), projector.eval()(inputs))
    assert rebuilt.state_dict().keys() == projector.state_dict().keys()


def test_files_without_the_counter_of_batches_are_read():
    state = {key: value for key, value in simsiam_projector().state_dict().items() if "tracked" not in key}
    assert build_projector(state)(torch.zeros(2, 6)).shape == (2, 5)


@pytest.mark.parametrize(
    ("state", "complaint"),
    [
        ({}, "here: no layers; expected names such as 0.weight"),
        ({"fc.weight": torch.zeros(2, 2)}, "here: unknown key fc.weight; expected names such as 0.weight"),
        (
            {"0.weight": torch.zeros(2, 2, 1, 1)},
            "here: layer 0: neither linear nor a batch normalisation (it has weight)",
        ),
    ],
)
def test_other_layers_are_refused_in_one_line(state, complaint):
    with pytest.raises(UserError) as raised:
        build_projector(state, "here")
    assert str(raised.value) == complaint
