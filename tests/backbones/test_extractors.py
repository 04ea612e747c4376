from pathlib import Path

import numpy as np
import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from pipeline_lib.backbones.extractors import PixelExtractor, PooledExtractor, TransformerExtractor, token_blocks

OPTIONS = {"img_size": 28, "patch_size": 14, "embed_dim": 16, "depth": 5, "num_heads": 2, "num_classes": 0}


def tiny_transformer(**options: object) -> VisionTransformer:
    torch.manual_seed(3)
    model = VisionTransformer(**(OPTIONS | options))  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
    return model.double().eval()


def layer_norm(x: Tensor, module: nn.Module) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + module.eps).sqrt() * module.weight + module.bias


def reference_tokens(model: VisionTransformer, images: Tensor) -> list[Tensor]:
    """Tokens after each block and the final normalisation, (B, prefix + N, C), written out from the definition."""
    state = model.state_dict()
    size, dim, heads = 14, 16, 2
    patches = images.unfold(2, size, size).unfold(3, size, size)  # (B, 3, rows, columns, size, size)
    patches = patches.permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)  # (B, N, 3 * size * size)
    weight = state["patch_embed.proj.weight"].flatten(1)
    x = patches @ weight.T + state["patch_embed.proj.bias"]
    count = len(images)
    prefix = [state[name].expand(count, -1, -1) for name in ("cls_token", "reg_token") if name in state]
    if model.no_embed_class:
        x = torch.cat([*prefix, x + state["pos_embed"]], dim=1)
    else:
        x = torch.cat([*prefix, x], dim=1) + state["pos_embed"]
    normed = []
    for block in model.blocks:
        qkv = layer_norm(x, block.norm1) @ block.attn.qkv.weight.T + block.attn.qkv.bias
        q, k, v = (part.unflatten(2, (heads, dim // heads)).transpose(1, 2) for part in qkv.split(dim, dim=2))
        attention = (q @ k.transpose(2, 3) / (dim // heads) ** 0.5).softmax(-1)
        mixed = (attention @ v).transpose(1, 2).flatten(2) @ block.attn.proj.weight.T + block.attn.proj.bias
        x = x + (mixed * block.ls1.gamma if hasattr(block.ls1, "gamma") else mixed)
        hidden = layer_norm(x, block.norm2) @ block.mlp.fc1.weight.T + block.mlp.fc1.bias
        hidden = hidden * 0.5 * (1 + torch.erf(hidden / 2**0.5))
        out = hidden @ block.mlp.fc2.weight.T + block.mlp.fc2.bias
        x = x + (out * block.ls2.gamma if hasattr(block.ls2, "gamma") else out)
        normed.append(layer_norm(x, model.norm) if isinstance(model.norm, nn.LayerNorm) else x)
    return normed


@pytest.mark.parametrize("blocks", [1, 4])
@pytest.mark.parametrize("average", [False, True])
def test_blocks_are_those_of_the_linear_evaluation_of_dinov2(golden_dir: Path, blocks: int, average: bool) -> None:
    golden = np.load(golden_dir / "10_dinov2_linear_input_tiny.npz")
    class_tokens = [torch.from_numpy(token) for token in golden["in_class_tokens"]]
    made = token_blocks(class_tokens, torch.from_numpy(golden["in_patch_tokens"][-1]))
    names = ["cls_-4", "cls_-3", "cls_-2"] if blocks == 4 else []
    names += ["cls"] + (["patch_mean"] if average else [])
    expected = golden[f"out_blocks{blocks}_avgpool{int(average)}"]
    np.testing.assert_allclose(torch.cat([made[name] for name in names], dim=1).numpy(), expected, atol=1e-6)


@pytest.mark.parametrize(
    "options",
    [
        {"reg_tokens": 4, "no_embed_class": True, "init_values": 0.1},
        {"reg_tokens": 2, "no_embed_class": False},
        {"init_values": 0.1},
    ],
)
def test_transformer_blocks_equal_a_forward_pass_written_out(options: dict[str, object]) -> None:
    model = tiny_transformer(**options)
    extractor = TransformerExtractor(model, None, last_blocks=4)
    assert list(extractor.widths) == ["cls", "patch_mean", "cls_-2", "cls_-3", "cls_-4"]
    assert extractor.default_blocks == ("cls", "patch_mean")
    images = torch.randn(3, 3, 28, 28, dtype=torch.float64)
    with torch.inference_mode():
        tokens = reference_tokens(model, images)
        features = extractor(images)
    prefix = 1 + model.num_reg_tokens
    expected = [tokens[-1][:, 0], tokens[-1][:, prefix:].mean(1), *(tokens[-depth][:, 0] for depth in (2, 3, 4))]
    assert features.dtype == torch.float32
    torch.testing.assert_close(features.double(), torch.cat(expected, dim=1), rtol=1e-5, atol=1e-6)


def test_chosen_blocks_come_in_their_order() -> None:
    model = tiny_transformer()
    images = torch.randn(2, 3, 28, 28, dtype=torch.float64)
    everything = TransformerExtractor(model, None, last_blocks=4)
    some = TransformerExtractor(model, ("cls_-3", "cls"), last_blocks=4)
    assert some.blocks == {"cls_-3": (0, 16), "cls": (16, 32)}
    assert some.default_blocks == ("cls",)
    with torch.inference_mode():
        named = everything.block_features(images)
        torch.testing.assert_close(some(images), torch.cat([named["cls_-3"], named["cls"]], dim=1))
    with pytest.raises(KeyError, match="'pooled'; allowed are cls, patch_mean"):
        TransformerExtractor(model, ("pooled",), last_blocks=4)


@pytest.mark.parametrize(
    "options",
    [
        {"class_token": False, "global_pool": "avg"},
        {"class_token": False, "global_pool": "avg", "fc_norm": False},
        {"class_token": True, "global_pool": "avg"},
    ],
)
def test_average_pooled_transformers_give_what_their_classifier_gets(options: dict[str, object]) -> None:
    model = tiny_transformer(**options).float()
    extractor = TransformerExtractor(model, None, last_blocks=4)
    assert list(extractor.widths) == ["patch_mean"]
    images = torch.randn(2, 3, 28, 28)
    with torch.inference_mode():
        torch.testing.assert_close(extractor(images), model(images))


def test_class_token_of_a_transformer_that_pools_after_its_norm_is_taken() -> None:
    model = tiny_transformer(global_pool="avg", fc_norm=False, reg_tokens=2)
    images = torch.randn(2, 3, 28, 28, dtype=torch.float64)
    with torch.inference_mode():
        expected = reference_tokens(model, images)[-1]
        made = TransformerExtractor(model, None, last_blocks=1).block_features(images)
    torch.testing.assert_close(made["cls"].double(), expected[:, 0], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(made["patch_mean"].double(), expected[:, 3:].mean(1), rtol=1e-5, atol=1e-6)


def test_pooled_block_is_the_output_of_the_model() -> None:
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    extractor = PooledExtractor(model, 3, None)
    images = torch.rand(2, 3, 5, 4)
    torch.testing.assert_close(extractor(images), images.mean(dim=(2, 3)))
    assert extractor.blocks == {"pooled": (0, 3)}


def test_pixels_are_the_image_row_by_row() -> None:
    images = torch.rand(2, 3, 4, 5)
    grey, colour = PixelExtractor(4, 5, True, None), PixelExtractor(4, 5, False, None)
    assert grey.dimension == 20
    assert colour.dimension == 60
    torch.testing.assert_close(grey(images)[1, 7], images[1, :, 1, 2].mean())
    torch.testing.assert_close(colour(images)[1, 20 + 7], images[1, 1, 1, 2])
