import re

import pytest
import timm
import torch
from torch import Tensor, nn

from pipeline_lib.backbones.loading import load_state

STYLES = ("timm", "official", "official_chunked", "hugging_face")
IMAGE_SIZE = 42


def small(architecture: str, image_size: int = IMAGE_SIZE) -> nn.Module:
    """The real architecture with its own name and flags, narrowed: 4 blocks of 32 channels."""
    options = {"img_size": image_size, "embed_dim": 32, "depth": 4, "num_heads": 2, "num_classes": 0}
    model = timm.create_model(architecture, **options)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.2)
    return model.eval()


def renamed(model: nn.Module, style: str) -> dict[str, Tensor]:
    """State of ``model`` as the other code base would have saved it."""
    state = {name: value.clone() for name, value in model.state_dict().items()}
    if style == "timm":
        return state
    dim = model.embed_dim
    if "reg_token" in state:
        position = torch.randn(1, 1, dim)
        state["cls_token"] = state["cls_token"] - position
        state["pos_embed"] = torch.cat([position, state["pos_embed"]], dim=1)
        state["register_tokens"] = state.pop("reg_token")
    state["mask_token"] = torch.zeros(1, dim)
    gated = model.blocks[0].mlp.fc1.out_features != model.blocks[0].mlp.fc2.in_features
    if style.startswith("official"):
        return {official(name, gated, style == "official_chunked"): value for name, value in state.items()}
    result = {}
    for name, value in state.items():
        if ".attn.qkv." in name:
            for part, rows in zip(("query", "key", "value"), value.split(dim), strict=True):
                result[hugging_face(name, gated).replace("QKV", part)] = rows
        else:
            result[hugging_face(name, gated)] = value
    return result


def official(name: str, gated: bool, chunked: bool) -> str:
    if gated:
        name = name.replace("mlp.fc1", "mlp.w12").replace("mlp.fc2", "mlp.w3")
    if chunked and (block := re.match(r"blocks\.(\d)\.", name)):
        name = f"blocks.{int(block[1]) // 2}." + name.removeprefix("blocks.")
    return name


def hugging_face(name: str, gated: bool) -> str:
    simple = {
        "cls_token": "embeddings.cls_token",
        "mask_token": "embeddings.mask_token",
        "register_tokens": "embeddings.register_tokens",
        "pos_embed": "embeddings.position_embeddings",
        "patch_embed.proj.weight": "embeddings.patch_embeddings.projection.weight",
        "patch_embed.proj.bias": "embeddings.patch_embeddings.projection.bias",
        "norm.weight": "layernorm.weight",
        "norm.bias": "layernorm.bias",
    }
    if name in simple:
        return "dinov2." + simple[name]
    _, block, rest = name.split(".", 2)
    parts = {
        "attn.qkv": "attention.attention.QKV",
        "attn.proj": "attention.output.dense",
        "ls1.gamma": "layer_scale1.lambda1",
        "ls2.gamma": "layer_scale2.lambda1",
        "mlp.fc1": "mlp.weights_in" if gated else "mlp.fc1",
        "mlp.fc2": "mlp.weights_out" if gated else "mlp.fc2",
    }
    for own, other in parts.items():
        rest = rest.replace(own, other)
    return f"dinov2.encoder.layer.{block}.{rest}"


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(
    "architecture", ["vit_small_patch14_dinov2", "vit_small_patch14_reg4_dinov2", "vit_giant_patch14_reg4_dinov2"]
)
def test_every_naming_style_gives_the_same_outputs(architecture: str, style: str) -> None:
    torch.manual_seed(0)
    source, target = small(architecture), small(architecture)
    images = torch.randn(2, 3, IMAGE_SIZE, IMAGE_SIZE)
    load_state(target, renamed(source, style), "weights")
    with torch.inference_mode():
        torch.testing.assert_close(
            target.forward_features(images), source.forward_features(images), rtol=1e-4, atol=1e-5
        )


def test_registers_do_not_get_confused_with_the_class_token() -> None:
    torch.manual_seed(0)
    source, target = small("vit_small_patch14_reg4_dinov2"), small("vit_small_patch14_reg4_dinov2")
    state = renamed(source, "official")
    assert state["pos_embed"].shape[1] == 1 + 9
    load_state(target, state, "weights")
    torch.testing.assert_close(target.cls_token, source.cls_token)
    torch.testing.assert_close(target.pos_embed, source.pos_embed)
    torch.testing.assert_close(target.reg_token, source.reg_token)


@pytest.mark.parametrize("style", STYLES)
def test_position_embeddings_of_another_image_size_are_resampled_alike_in_all_styles(style: str) -> None:
    torch.manual_seed(0)
    source, target = small("vit_small_patch14_dinov2", 70), small("vit_small_patch14_dinov2", 42)
    load_state(target, renamed(source, style), "weights")
    grid = source.pos_embed[0, 1:].detach().reshape(1, 5, 5, 32).permute(0, 3, 1, 2)
    expected = nn.functional.interpolate(grid, scale_factor=3.1 / 5, mode="bicubic")
    torch.testing.assert_close(target.pos_embed[0, 1:], expected[0].flatten(1).T)


def test_registers_mean_antialiased_position_embeddings() -> None:
    torch.manual_seed(0)
    source, target = small("vit_small_patch14_reg4_dinov2", 70), small("vit_small_patch14_reg4_dinov2", 42)
    load_state(target, renamed(source, "hugging_face"), "weights")
    grid = source.pos_embed[0].detach().reshape(1, 5, 5, 32).permute(0, 3, 1, 2)
    expected = nn.functional.interpolate(grid, size=(3, 3), mode="bicubic", antialias=True)
    torch.testing.assert_close(target.pos_embed[0], expected[0].flatten(1).T)


def test_vit_names_of_hugging_face() -> None:
    torch.manual_seed(0)
    options = {"img_size": 32, "embed_dim": 32, "depth": 2, "num_heads": 2, "num_classes": 0}
    source, target = (timm.create_model("vit_base_patch16_224.dino", **options).eval() for _ in range(2))
    state = {}
    for name, value in source.state_dict().items():
        name = hugging_face(name, False).replace("dinov2.", "vit.")
        for own, other in (("mlp.fc1", "intermediate.dense"), ("mlp.fc2", "output.dense")):
            name = name.replace(own, other)
        name = name.replace(".norm1.", ".layernorm_before.").replace(".norm2.", ".layernorm_after.")
        if "QKV" in name:
            for part, rows in zip(("query", "key", "value"), value.split(32), strict=True):
                state[name.replace("QKV", part)] = rows
        else:
            state[name] = value
    state["vit.pooler.dense.weight"] = torch.zeros(32, 32)
    state["classifier.weight"] = torch.zeros(10, 32)
    load_state(target, state, "weights")
    images = torch.randn(1, 3, 32, 32)
    torch.testing.assert_close(target(images), source(images))


def test_wrappers_and_heads_of_training_checkpoints_are_left_out() -> None:
    torch.manual_seed(0)
    source, target = small("vit_small_patch14_dinov2"), small("vit_small_patch14_dinov2")
    state = {f"module.backbone.{name}": value for name, value in source.state_dict().items()}
    state["module.head.mlp.0.weight"] = torch.zeros(3, 32)
    load_state(target, state, "weights")
    torch.testing.assert_close(target.norm.weight, source.norm.weight)
