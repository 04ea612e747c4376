import pytest
import timm
import torch
from torch import nn

from pipeline_lib.backbones.loading import is_vision_transformer, load_in_order, load_state
from pipeline_lib.base.errors import UserError


def tiny() -> nn.Module:
    options = {"img_size": 28, "embed_dim": 32, "depth": 2, "num_heads": 2, "num_classes": 0}
    return timm.create_model("vit_small_patch14_dinov2", **options)


def test_differences_are_listed_by_name_and_counted() -> None:
    model = tiny()
    state = dict(model.state_dict())
    for name in [name for name in state if name.startswith("blocks.1.")]:
        del state[name]
    state["decoder.weight"] = torch.zeros(2)
    state["norm.bias"] = torch.zeros(33)
    with pytest.raises(UserError) as caught:
        load_state(model, state, "backbones.x.weights.path = w.pth")
    message = str(caught.value)
    assert message.startswith(
        "backbones.x.weights.path = w.pth: tensors do not fit the model: 14 missing (blocks.1.norm1"
    )
    assert ", ...)" in message
    assert "1 unexpected (decoder.weight)" in message
    assert "1 of another shape (norm.bias (33,) instead of (32,))" in message
    assert "\n" not in message


def test_nothing_is_loaded_when_something_does_not_fit() -> None:
    model = tiny()
    before = model.norm.weight.detach().clone()
    state = {name: value + 1 for name, value in model.state_dict().items()}
    del state["cls_token"]
    with pytest.raises(UserError, match=r"1 missing \(cls_token\)"):
        load_state(model, state, "w")
    torch.testing.assert_close(model.norm.weight, before)


def test_a_model_of_another_size_is_refused() -> None:
    other = timm.create_model("vit_small_patch14_dinov2", img_size=28, embed_dim=48, depth=2, num_heads=2)
    with pytest.raises(UserError, match="of another shape"):
        load_state(tiny(), other.state_dict(), "w")


def test_torchvision_names_of_a_resnet_load_without_counters_and_classifier() -> None:
    source = timm.create_model("resnet18")
    target = timm.create_model("resnet18", num_classes=0).eval()
    state = {name: v for name, v in source.state_dict().items() if not name.endswith("num_batches_tracked")}
    load_state(target, state, "w")
    images = torch.randn(1, 3, 32, 32)
    source.eval()
    torch.testing.assert_close(target(images), source.forward_head(source.forward_features(images), pre_logits=True))
    del state["layer1.0.bn1.running_mean"]
    with pytest.raises(UserError, match=r"1 missing \(layer1.0.bn1.running_mean\)"):
        load_state(target, state, "w")


def test_weights_of_another_architecture_are_refused_for_a_model_with_its_own_conversion() -> None:
    with pytest.raises(UserError, match="missing"):
        load_state(tiny(), timm.create_model("resnet18").state_dict(), "w")


def test_which_models_are_vision_transformers() -> None:
    assert is_vision_transformer(tiny())
    assert not is_vision_transformer(timm.create_model("resnet18"))
    assert not is_vision_transformer(timm.create_model("tf_efficientnet_lite0"))


def test_loading_in_order_checks_every_pair() -> None:
    source, target = (nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)) for _ in range(2))
    renamed = {f"other.{name}": value + 1 for name, value in source.state_dict().items()}
    load_in_order(target, renamed, "w")
    torch.testing.assert_close(target[1].running_mean, source[1].running_mean + 1)
    swapped = dict(reversed(renamed.items()))
    with pytest.raises(UserError, match=r"expected a tensor like 0.weight \(3, 2\), found other.1.num_batches_tracked"):
        load_in_order(target, swapped, "w")
    renamed.popitem()
    with pytest.raises(UserError, match="expected 7 tensors, found 6"):
        load_in_order(target, renamed, "w")
