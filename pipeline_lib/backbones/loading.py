"""Puts a state dict into a timm model, completely or not at all."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping

from torch import Tensor, nn

from pipeline_lib.backbones.key_names import timm_transformer_names, without_wrappers
from pipeline_lib.backbones.position_embedding import resampled_position_embedding
from pipeline_lib.base.errors import UserError

# Classifiers and projection heads sit behind the features; the mask token is for pretraining only.
_NOT_NEEDED = ("head", "head_dist", "classifier", "pooler", "fc", "dino_head", "ibot_head", "mask_token")
_LISTED = 4


def is_vision_transformer(model: nn.Module) -> bool:
    """Whether a timm model is a plain ViT: tokens of one width, prefix tokens first, one final normalisation."""
    parts = ("patch_embed", "blocks", "num_prefix_tokens", "norm", "forward_intermediates")
    return all(hasattr(model, part) for part in parts)


def load_state(model: nn.Module, state: Mapping[str, Tensor], where: str) -> None:
    """Load weights of any known naming style; classifier heads and the mask token are left out.

    Args:
        model: timm model without a classifier.
        state: Tensors by name.
        where: Where they come from, for messages.

    Raises:
        UserError: A tensor is missing, left over or of another shape.
    """
    fitted = _needed(without_wrappers(dict(state)), model)
    if is_vision_transformer(model):
        fitted = _resampled(_needed(timm_transformer_names(fitted), model), model)
    if set(fitted) != set(model.state_dict()):
        fitted = _needed(_converted_by_timm(fitted, model), model)
    check_fit(model, fitted, where)
    model.load_state_dict(fitted, strict=False)


def check_fit(model: nn.Module, state: Mapping[str, Tensor], where: str) -> None:
    """Compare names and shapes of ``state`` with those of ``model``.

    Raises:
        UserError: They differ; the message lists the first differences of each kind.
    """
    wanted = model.state_dict()
    # Older files lack the counters of batch normalisation, which play no part in evaluation.
    missing = [name for name in wanted if name not in state and not name.endswith("num_batches_tracked")]
    unexpected = [name for name in state if name not in wanted]
    shapes = [
        f"{name} {tuple(state[name].shape)} instead of {tuple(wanted[name].shape)}"
        for name in wanted
        if name in state and state[name].shape != wanted[name].shape
    ]
    complaints = [
        f"{len(names)} {kind} ({', '.join(names[:_LISTED])}{', ...' if len(names) > _LISTED else ''})"
        for kind, names in (("missing", missing), ("unexpected", unexpected), ("of another shape", shapes))
        if names
    ]
    if complaints:
        raise UserError(f"{where}: tensors do not fit the model: {'; '.join(complaints)}")


def _needed(state: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    own = set(model.state_dict())
    heads = {*_NOT_NEEDED, *_classifiers(model)}
    return {name: value for name, value in state.items() if name in own or name.split(".")[0] not in heads}


def _classifiers(model: nn.Module) -> Iterable[str]:
    names = getattr(model, "pretrained_cfg", {}).get("classifier") or ()
    return [name.split(".")[0] for name in ((names,) if isinstance(names, str) else names)]


def _resampled(state: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    embedding = state.get("pos_embed")
    if embedding is None or embedding.ndim != 3 or getattr(model, "pos_embed", None) is None:
        return state
    prefix = 0 if getattr(model, "no_embed_class", False) else int(model.num_prefix_tokens)  # type: ignore[arg-type]
    grid = tuple(model.patch_embed.grid_size)  # type: ignore[union-attr, arg-type]
    dino_style = _is_dino(model) and not getattr(model, "num_reg_tokens", 0)
    return state | {"pos_embed": resampled_position_embedding(embedding, grid, prefix, dino_style)}


def _is_dino(model: nn.Module) -> bool:
    config = getattr(model, "pretrained_cfg", {})
    return config.get("tag") == "dino" or "dinov2" in str(config.get("architecture"))


def _converted_by_timm(state: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Apply the conversion that timm has for this architecture's published files, where it has one."""
    convert = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    if convert is None:
        return state
    try:
        converted: dict[str, Tensor] = convert(dict(state), model)
    except (KeyError, ValueError, RuntimeError, AttributeError, TypeError, IndexError):
        # Written for one known file each, it stumbles over any other; the check that follows names what is wrong.
        return state
    return converted


def load_in_order(model: nn.Module, state: Mapping[str, Tensor], where: str) -> None:
    """Load the weights of a re-implementation of the same network whose modules have other names, by their order.

    Args:
        model: timm model with its classifier.
        state: As many tensors as the model has, in the same order, with the same last name parts and shapes.
        where: Where they come from, for messages.

    Raises:
        UserError: Number, last name part or shape of a pair differ.
    """
    own = model.state_dict()
    if len(own) != len(state):
        raise UserError(f"{where}: expected {len(own)} tensors, found {len(state)}")
    for (name, wanted), (other, value) in zip(own.items(), state.items(), strict=True):
        if name.split(".")[-1] != other.split(".")[-1] or wanted.shape != value.shape:
            expected, found = f"{name} {tuple(wanted.shape)}", f"{other} {tuple(value.shape)}"
            raise UserError(f"{where}: expected a tensor like {expected}, found {found}")
    model.load_state_dict(dict(zip(own, state.values(), strict=True)))
