"""Renames tensors of vision transformer checkpoints to timm's names.

Read are timm's own names, those of the official DINO, DINOv2 and MSN checkpoints, and those of Hugging Face's ViT,
ViT-MSN, DINOv2 and DINOv2 with registers.
"""

from __future__ import annotations

import re

import torch
from torch import Tensor

# Wrappers around the network: data parallelism, DINO's multi-crop wrapper, Hugging Face's model attributes.
_PREFIXES = ("module.", "backbone.", "vit.", "dinov2_with_registers.", "dinov2.")
_HUGGING_FACE = (
    (r"^embeddings\.cls_token$", "cls_token"),
    (r"^embeddings\.mask_token$", "mask_token"),
    (r"^embeddings\.register_tokens$", "register_tokens"),
    (r"^embeddings\.position_embeddings$", "pos_embed"),
    (r"^embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
    (r"^layernorm\.", "norm."),
    (r"^encoder\.layer\.(\d+)\.", r"blocks.\1."),
    (r"\.attention\.attention\.(query|key|value)\.", r".attn.\1."),
    (r"\.attention\.output\.dense\.", ".attn.proj."),
    (r"\.layernorm_before\.", ".norm1."),
    (r"\.layernorm_after\.", ".norm2."),
    (r"\.layer_scale([12])\.lambda1$", r".ls\1.gamma"),
    (r"\.mlp\.weights_in\.", ".mlp.fc1."),
    (r"\.mlp\.weights_out\.", ".mlp.fc2."),
    (r"^(blocks\.\d+)\.intermediate\.dense\.", r"\1.mlp.fc1."),
    (r"^(blocks\.\d+)\.output\.dense\.", r"\1.mlp.fc2."),
)
_OFFICIAL = (
    # Checkpoints of sharded training name a block by its chunk and by its number.
    (r"^blocks\.\d+\.(\d+)\.", r"blocks.\1."),
    (r"\.mlp\.w12\.", ".mlp.fc1."),
    (r"\.mlp\.w3\.", ".mlp.fc2."),
)


def without_wrappers(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Take the names of wrapping modules off the front of all names that have them."""
    stripped = dict(state)
    changed = True
    while changed:
        changed = False
        for prefix in _PREFIXES:
            if any(name.startswith(prefix) for name in stripped):
                stripped = {name.removeprefix(prefix): value for name, value in stripped.items()}
                changed = True
    return stripped


def timm_transformer_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename and regroup the tensors of a vision transformer as timm has them.

    Args:
        state: Tensors by name in any of the known styles.

    Returns:
        Tensors in timm's names: query, key and value fused, and for checkpoints with ``register_tokens`` the class
        token's position embedding added to the class token, as timm's models with registers expect.
    """
    named = dict(state)
    if "embeddings.cls_token" in named or any(name.startswith("encoder.layer.") for name in named):
        named = _fused_qkv(_renamed(named, _HUGGING_FACE))
    named = _renamed(named, _OFFICIAL)
    if "register_tokens" in named:
        named["reg_token"] = named.pop("register_tokens")
        if "pos_embed" in named and "cls_token" in named:
            named["cls_token"] = named["cls_token"] + named["pos_embed"][:, :1]  # (1, 1, C)
            named["pos_embed"] = named["pos_embed"][:, 1:]  # (1, N, C)
    return named


def _renamed(state: dict[str, Tensor], rules: tuple[tuple[str, str], ...]) -> dict[str, Tensor]:
    result = {}
    for name, value in state.items():
        for pattern, replacement in rules:
            name = re.sub(pattern, replacement, name)
        result[name] = value
    return result


def _fused_qkv(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Stack query, key and value of each block, (C, C) each, to timm's ``qkv`` (3C, C); the same for biases."""
    result = {}
    for name, value in state.items():
        match = re.fullmatch(r"(blocks\.\d+\.attn)\.(query|key|value)\.(weight|bias)", name)
        parts = [f"{match[1]}.{part}.{match[3]}" for part in ("query", "key", "value")] if match else []
        if match is None or any(part not in state for part in parts):
            result[name] = value
        elif match[2] == "query":
            result[f"{match[1]}.qkv.{match[3]}"] = torch.cat([state[part] for part in parts])
    return result
