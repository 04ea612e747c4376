"""Builds a backbone from its settings, or again from what an artifact recorded of it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, assert_never

import torch
from torch import Tensor, nn

from pipeline_lib.backbones.extractors import FeatureExtractor, PixelExtractor, PooledExtractor, TransformerExtractor
from pipeline_lib.backbones.loading import is_vision_transformer, load_in_order, load_state
from pipeline_lib.backbones.model_hub import hub_file
from pipeline_lib.backbones.onnx_files import read_onnx_state
from pipeline_lib.backbones.packaged import packaged_file
from pipeline_lib.backbones.preprocessing import ImageTransform, Preprocessing
from pipeline_lib.backbones.settings import BackboneSettings, WeightsSettings
from pipeline_lib.backbones.state_files import read_state, state_digest
from pipeline_lib.base import torchvision_import  # noqa: F401
from pipeline_lib.base.errors import UserError

import timm  # isort: skip

PIXEL_MODELS = {"pixels_grey": True, "pixels_rgb": False}
_RANDOM_WEIGHTS_SEED = 0


@dataclass(frozen=True)
class Backbone:
    """A model with the preprocessing that it needs.

    Attributes:
        config: The settings.
        extractor: The frozen model, in evaluation mode, on the CPU.
        preprocessing: What is done to images.
        digest: Digest of the loaded weights; ``None`` for pixels.
    """

    config: BackboneSettings
    extractor: FeatureExtractor
    preprocessing: Preprocessing
    digest: str | None

    def transform(self) -> ImageTransform:
        """Picklable function from an image to the tensor (3, H, W) that the extractor takes."""
        return self.preprocessing.transform(self.config.parameter("image_size"))

    def facts(self) -> dict[str, Any]:
        """What artifacts record, as JSON values; ``rebuilt`` builds the same backbone from it."""
        model = getattr(self.extractor, "model", None)
        return {
            "name": self.config.name,
            "model": self.config.model,
            "weights": self.config.weights.model_dump() | {"blake2b": self.digest},
            "image_size": self.config.image_size,
            "registers": int(getattr(model, "num_reg_tokens", 0)),
            "last_blocks": self.config.last_blocks,
            "blocks": list(self.extractor.widths),
            "preprocessing": self.preprocessing.as_fields(),
        }


def build_backbone(config: BackboneSettings, native_size: tuple[int, int] | None = None) -> Backbone:
    """Build the model and load its weights.

    Args:
        config: The settings.
        native_size: Height and width of the images; used for pixels without ``image_size``.

    Returns:
        The backbone, ready to extract.

    Raises:
        UserError: A setting does not fit the model, or the weights do not.
        MissingFileError: The weights are not there.
    """
    try:
        return _pixels(config, native_size) if config.model in PIXEL_MODELS else _timm(config)
    except KeyError as error:
        raise UserError(f"{config.parameter('blocks')}: {config.model} has no block {error.args[0]}") from None


def rebuilt(facts: Mapping[str, Any], weights: WeightsSettings | None = None) -> Backbone:
    """Build the backbone of an artifact again, to extract features of new images.

    Args:
        facts: What ``Backbone.facts`` gave.
        weights: Where the weights are now; ``None``: where they were.

    Returns:
        The backbone, with the very same weights.

    Raises:
        UserError: The weights are others than those recorded.
        MissingFileError: The weights are not there.
    """
    recorded = facts["weights"]
    preprocessing = Preprocessing.from_fields(facts["preprocessing"])
    config = BackboneSettings(
        model=facts["model"],
        weights=weights
        or WeightsSettings(source=recorded["source"], path=recorded["path"], package=recorded["package"]),
        image_size=facts["image_size"],
        blocks=tuple(facts["blocks"]),
        last_blocks=facts["last_blocks"],
        name=facts["name"],
    )
    backbone = build_backbone(config, (preprocessing.height, preprocessing.width))
    if backbone.digest != recorded["blake2b"]:
        raise UserError(
            f"{config.parameter('weights')}: expected weights with blake2b {recorded['blake2b']}, "
            f"found {backbone.digest}; extract again or give the recorded weights"
        )
    return replace(backbone, preprocessing=preprocessing)


def example_images(backbone: Backbone, count: int, seed: int = 0) -> Tensor:
    """Random images that look to the model like preprocessed ones, float32 (count, 3, H, W), always the same."""
    preprocessing = backbone.preprocessing
    shape = (count, 3, preprocessing.height, preprocessing.width)
    values = torch.rand(shape, generator=torch.Generator().manual_seed(seed))
    mean, std = (torch.tensor(value).view(3, 1, 1) for value in (preprocessing.mean, preprocessing.std))
    return (values - mean) / std


def _pixels(config: BackboneSettings, native_size: tuple[int, int] | None) -> Backbone:
    if config.image_size is not None:
        preprocessing = Preprocessing(config.image_size, config.image_size, "squash", interpolation="bilinear")
    elif native_size is not None:
        preprocessing = Preprocessing(*native_size, "native")
    else:
        raise UserError(f"{config.parameter('image_size')} is not set and the size of the images is not known")
    grey = PIXEL_MODELS[config.model]
    extractor = PixelExtractor(preprocessing.height, preprocessing.width, grey, config.blocks)
    return Backbone(config, extractor, preprocessing, None)


def _timm(config: BackboneSettings) -> Backbone:
    pretrained = _pretrained_facts(config)
    model = _with_weights(config, pretrained).eval().requires_grad_(False)
    size = _image_size(config, pretrained, model)
    preprocessing = Preprocessing(
        *size,
        fit="crop" if pretrained["crop_mode"] == "center" else pretrained["crop_mode"],
        crop_fraction=config.crop_fraction or float(pretrained["crop_pct"]),
        interpolation=str(pretrained["interpolation"]),
        mean=config.mean or tuple(pretrained["mean"]),
        std=config.std or tuple(pretrained["std"]),
    )
    digest = state_digest(model)
    if is_vision_transformer(model):
        depth = len(model.blocks)  # type: ignore[arg-type]
        if config.last_blocks > depth:
            raise UserError(f"{config.parameter('last_blocks')} = {config.last_blocks}: the model has {depth} blocks")
        return Backbone(config, TransformerExtractor(model, config.blocks, config.last_blocks), preprocessing, digest)
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    with torch.inference_mode():
        pooled = model(torch.zeros(1, 3, *size))
    if pooled.ndim != 2:
        raise UserError(f"{config.parameter('model')} = {config.model}: gives no pooled features")
    return Backbone(config, PooledExtractor(model, pooled.shape[1], config.blocks), preprocessing, digest)


def _pretrained_facts(config: BackboneSettings) -> dict[str, Any]:
    """What timm says of the model and, with a tag, of those weights."""
    parameter = f"{config.parameter('model')} = {config.model}"
    architecture, _, tag = config.model.partition(".")
    if not timm.is_model(architecture):
        close = difflib.get_close_matches(architecture, [*timm.list_models(), *PIXEL_MODELS], n=3)
        hint = f"; close names: {', '.join(close)}" if close else ""
        raise UserError(f"{parameter}: neither a timm model nor one of {', '.join(PIXEL_MODELS)}{hint}")
    tags = [name.partition(".")[2] for name in timm.list_pretrained(f"{architecture}.*")]
    if tag and tag not in tags:
        raise UserError(f"{parameter}: timm has no weights {tag!r} of it; allowed: {', '.join(tags) or 'no tag'}")
    facts = timm.get_pretrained_cfg(config.model)
    if facts is None:
        raise UserError(f"{parameter}: timm does not say how its images are prepared; choose another model")
    known: dict[str, Any] = facts.to_dict()  # type: ignore[no-untyped-call]
    return known


def _with_weights(config: BackboneSettings, pretrained: Mapping[str, Any]) -> nn.Module:
    """The timm model without classifier, with its weights."""
    weights = config.weights
    match weights.source:
        case "package":
            return _with_packaged_weights(config, pretrained)
        case "none":
            return _with_random_weights(config, pretrained)
        case "hub" | "file":
            model = _with_random_weights(config, pretrained)
            parameter = config.parameter("weights.path")
            path = hub_file(config, pretrained) if weights.source == "hub" else Path(weights.path or "")
            load_state(model, read_state(path, parameter), f"{parameter} = {path}")
            return model
        case _:
            assert_never(weights.source)


def _with_random_weights(config: BackboneSettings, pretrained: Mapping[str, Any]) -> nn.Module:
    # They do not depend on the seed of the stage, so that a rebuilt backbone is the same.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_RANDOM_WEIGHTS_SEED)
        return _create(config, pretrained)


def _with_packaged_weights(config: BackboneSettings, pretrained: Mapping[str, Any]) -> nn.Module:
    path = packaged_file(config)
    parameter = config.parameter("weights.package")
    where = f"{parameter} = {config.weights.package}"
    if path.suffix == ".onnx":
        model = _create(config, pretrained)
        load_state(model, read_onnx_state(path, where), where)
        return model
    model = _create(config, pretrained, keep_classifier=True)
    load_in_order(model, read_state(path, parameter), where)
    model.reset_classifier(0)  # type: ignore[operator]
    return model


def _create(config: BackboneSettings, pretrained: Mapping[str, Any], keep_classifier: bool = False) -> nn.Module:
    options: dict[str, Any] = {} if keep_classifier else {"num_classes": 0}
    if config.image_size is not None and pretrained.get("fixed_input_size"):
        options["img_size"] = config.image_size
    try:
        model: nn.Module = timm.create_model(config.model, pretrained=False, **options)
    except (AssertionError, ValueError, RuntimeError, TypeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"{config.parameter('image_size')} = {config.image_size}: {config.model} cannot be built ({reason})"
        ) from None
    return model


def _image_size(config: BackboneSettings, pretrained: Mapping[str, Any], model: nn.Module) -> tuple[int, int]:
    size = tuple(pretrained["input_size"][1:]) if config.image_size is None else (config.image_size,) * 2
    patch = getattr(getattr(model, "patch_embed", None), "patch_size", None)
    if is_vision_transformer(model) and patch is not None and any(s % p for s, p in zip(size, patch, strict=True)):
        raise UserError(
            f"{config.parameter('image_size')} = {size[0]}: must be a multiple of the patch size {patch[0]}"
        )
    return int(size[0]), int(size[1])
