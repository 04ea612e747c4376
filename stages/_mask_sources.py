"""What each ``masks.source`` of params.yaml needs: its network, what the network gets of an image, and the method."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from pipeline_lib.artifacts.checkpoint import IMAGENET_MEAN, IMAGENET_STD, open_checkpoint
from pipeline_lib.artifacts.dataset import open_dataset
from pipeline_lib.artifacts.objects import open_objects
from pipeline_lib.backbones.attention_features import AttentionExtractor
from pipeline_lib.backbones.build import build_backbone
from pipeline_lib.base.errors import UserError
from pipeline_lib.segins.masks import colours
from pipeline_lib.segins.masks.batches import ImageBatch, ImageInput
from pipeline_lib.segins.masks.controls import centre_ellipse, whole_image
from pipeline_lib.segins.masks.network import checkpoint_network
from pipeline_lib.segins.masks.sources import PseudoMask, contracam_masks, control_masks, oracle_masks, tokencut_masks
from pipeline_lib.segins.masks.tokencut import SIMILARITY
from pipeline_lib.segins.masks.truth import ImageTruth, image_truth
from stages._context import SegInsContext

_NO_INPUT = ImageInput(1, 1, (0, 0, 0), (1, 1, 1))
"""For masks that no network makes."""


@dataclass(frozen=True)
class MaskSource:
    """A way to make masks, ready to run.

    Attributes:
        facts: What the metrics say of it.
        image_input: What it gets of an image.
        make: From the batches of all images to their masks.
    """

    facts: dict[str, Any]
    image_input: ImageInput
    make: Callable[[Iterable[ImageBatch]], Iterator[PseudoMask]]


def mask_source(context: SegInsContext, fabric: Any) -> MaskSource:
    """The source that ``masks.source`` names."""
    builders = {"contracam": _contracam, "tokencut": _tokencut, "colours": _colours, "oracle": _oracle}
    return builders.get(context.params.masks.source, _control)(context, fabric)


def _contracam(context: SegInsContext, fabric: Any) -> MaskSource:
    section = context.params.masks
    checkpoint = open_checkpoint(context.checkpoint(f"{context.method}-baseline"))
    network = checkpoint_network(checkpoint, section.expand)
    make = partial(
        contracam_masks,
        fabric,
        network,
        iterations=section.iterations,
        positive=section.positive,
        threshold=section.threshold,
    )
    image_input = ImageInput(section.image_size, section.image_size, checkpoint.mean, checkpoint.std)
    return MaskSource({"embedding": network.embedding_source, "threshold": section.threshold}, image_input, make)


def _tokencut(context: SegInsContext, fabric: Any) -> MaskSource:
    section = context.params.masks
    if section.backbone not in context.params.backbones:
        allowed = ", ".join(context.params.backbones)
        raise UserError(f"masks.backbone = {section.backbone}: not one of {allowed}")
    backbone = build_backbone(context.params.backbones[section.backbone])
    extractor, seen = AttentionExtractor(backbone, section.projection), backbone.preprocessing
    grid = extractor.grid(seen.height, seen.width)
    similarity = SIMILARITY if section.similarity == "auto" else section.similarity
    make = partial(tokencut_masks, fabric, extractor, grid, similarity=similarity)
    metrics = {"backbone": section.backbone, "projection": section.projection, "similarity": similarity}
    return MaskSource(metrics, ImageInput(seen.height, seen.width, seen.mean, seen.std), make)


def _colours(context: SegInsContext, fabric: Any) -> MaskSource:
    given = context.params.masks.similarity
    similarity = colours.SIMILARITY if given == "auto" else given
    grid = (colours.GRID, colours.GRID)
    make = partial(tokencut_masks, fabric, colours.ColourFeatures(), grid, similarity=similarity)
    return MaskSource({"similarity": similarity}, ImageInput(*grid, IMAGENET_MEAN, IMAGENET_STD), make)


def _oracle(context: SegInsContext, _fabric: Any) -> MaskSource:
    objects = open_objects(context.objects())
    objects.require("masks.source = oracle")
    ids = open_dataset(context.images()).ids("train")

    def truth_of(row: int, image_size: tuple[int, int], size: tuple[int, int]) -> ImageTruth | None:
        return image_truth(objects, int(ids[row]), image_size, size)

    return MaskSource({}, _NO_INPUT, partial(oracle_masks, truth_of=truth_of))


def _control(context: SegInsContext, _fabric: Any) -> MaskSource:
    section = context.params.masks
    control = whole_image if section.source == "whole" else partial(centre_ellipse, share=section.centre_share)
    return MaskSource({}, _NO_INPUT, partial(control_masks, control=control))
