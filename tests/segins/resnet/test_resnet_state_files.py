import pytest
import torch
from torch import nn

from pipeline_lib.base.errors import UserError
from pipeline_lib.segins.resnet.build import build_resnet
from pipeline_lib.segins.resnet.projector import build_projector
from pipeline_lib.segins.resnet.state_files import check_architecture, check_method, resnet_state


def backbone(architecture="resnet18"):
    torch.manual_seed(0)
    return dict(build_resnet(architecture).state_dict())


def prefixed(prefix, state):
    return {prefix + key: value for key, value in state.items()}


def moco_head(width=512):
    return {
        f"fc.{key}": v
        for key, v in nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 8)).state_dict().items()
    }


def simsiam_head(width=512):
    layers = [nn.Linear(width, width, bias=False), nn.BatchNorm1d(width), nn.ReLU()] * 2
    layers = [*layers, nn.Linear(width, width), nn.BatchNorm1d(width, affine=False)]
    return {f"fc.{key}": value for key, value in nn.Sequential(*layers).state_dict().items()}


def same(found, expected):
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in expected)


def test_mocos_query_encoder_is_taken_and_its_other_parts_are_left():
    weights = backbone()
    file = prefixed("module.encoder_q.", weights | moco_head())
    file |= prefixed("module.encoder_k.", {key: value + 1 for key, value in weights.items()})
    file |= {"module.queue": torch.zeros(8, 16), "module.queue_ptr": torch.zeros(1)}
    found = resnet_state(file, "moco.baseline = x.pth")
    assert (found.architecture, found.method) == ("resnet18", "moco")
    same(found.backbone, weights)
    assert build_projector(found.projector)(torch.zeros(2, 512)).shape == (2, 8)


def test_simsiams_encoder_is_taken_without_its_predictor():
    weights = backbone()
    file = prefixed("module.encoder.", weights | simsiam_head())
    file |= {"module.predictor.0.weight": torch.zeros(4, 512)}
    found = resnet_state(file, "simsiam.baseline = x.pth")
    assert found.method == "simsiam"
    same(found.backbone, weights)
    assert set(found.projector) >= {"0.weight", "7.running_mean"}


@pytest.mark.parametrize("architecture", ["resnet18", "resnet34", "resnet50"])
@pytest.mark.parametrize("prefix", ["", "module.", "backbone."])
def test_a_classifier_is_dropped_and_the_architecture_found(architecture, prefix):
    weights = backbone(architecture)
    width = 2048 if architecture == "resnet50" else 512
    file = prefixed(prefix, weights | {"fc.weight": torch.zeros(10, width), "fc.bias": torch.zeros(10)})
    found = resnet_state(file, "file")
    assert (found.architecture, found.method, found.projector) == (architecture, None, None)
    same(found.backbone, weights)


def test_timms_resnet_is_torchvisions():
    timm = pytest.importorskip("timm")
    state = timm.create_model("resnet18", pretrained=False).state_dict()
    assert resnet_state(state, "file").architecture == "resnet18"


def without_third_stage(state):
    return {key: value for key, value in state.items() if not key.startswith("layer3.1")}


@pytest.mark.parametrize(
    ("file", "complaint"),
    [
        (
            lambda: {"blocks.0.attn.qkv.weight": torch.zeros(1)},
            "no ResNet in torchvision's names (no conv1.weight; the",
        ),
        (
            lambda: without_third_stage(backbone()),
            "a ResNet of basic blocks [2, 2, 1, 2]; allowed: resnet18, resnet34,",
        ),
        (
            lambda: backbone() | {"fc.0.weight": torch.zeros(2, 2)},
            "fc has the layers 0, neither SimSiam's nor MoCo-V2's",
        ),
        (lambda: backbone() | {"extra": torch.zeros(2)}, "not the weights of this architecture (unknown extra)"),
    ],
)
def test_other_files_are_refused_in_one_line(file, complaint):
    with pytest.raises(UserError) as raised:
        resnet_state(file(), "moco.baseline = x.pth")
    assert str(raised.value).startswith("moco.baseline = x.pth: " + complaint)


def test_another_architecture_or_method_than_asked_for_is_refused():
    found = resnet_state(backbone() | moco_head(), "f")
    check_architecture(found, "auto", "p", "f")
    check_method(found, "moco", "f")
    with pytest.raises(UserError, match=r"f: holds a resnet18, but pretrain.architecture = resnet50"):
        check_architecture(found, "resnet50", "pretrain.architecture", "f")
    with pytest.raises(UserError, match="f: holds a network that moco pretrained, not simsiam"):
        check_method(found, "simsiam", "f")
