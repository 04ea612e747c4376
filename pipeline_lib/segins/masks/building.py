"""The sources of pseudo-masks, ready to run: the network of each, what it gets of an image, and its method."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from pipeline_lib.artifacts.checkpoint import IMAGENET_MEAN, IMAGENET_STD, Checkpoint
from pipeline_lib.artifacts.dataset import Dataset
from pipeline_lib.artifacts.objects import Objects
from pipeline_lib.backbones.attention_features import AttentionExtractor
from pipeline_lib.backbones.build import Backbone
from pipeline_lib.segins.masks import colours
from pipeline_lib.segins.masks.batches import ImageBatch, ImageInput
from pipeline_lib.segins.masks.controls import centre_ellipse, whole_image
from pipeline_lib.segins.masks.network import checkpoint_network
from pipeline_lib.segins.masks.settings import SOURCES, MaskSettings
from pipeline_lib.segins.masks.sources import PseudoMask, contracam_masks, control_masks, oracle_masks, tokencut_masks
from pipeline_lib.segins.masks.tokencut import SIMILARITY
from pipeline_lib.segins.masks.truth import ImageTruth, image_truth

_NO_INPUT = ImageInput(1, 1, (0, 0, 0), (1, 1, 1))
"""For masks that no network makes."""


@dataclass(frozen=True)
class MaskInputs:
    """What sources are made from; what only some need is opened when they ask for it.

    Attributes:
        settings: Settings of the masks.
        fabric: The launched engine.
        dataset: The images.
        objects: Their true objects, where they have any.
        checkpoint: Opens the checkpoint of the baseline.
        backbone: Builds the backbone of a key of ``backbones``.
    """

    settings: MaskSettings
    fabric: Any
    dataset: Dataset
    objects: Objects
    checkpoint: Callable[[], Checkpoint]
    backbone: Callable[[str], Backbone]


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


def mask_source(inputs: MaskInputs) -> MaskSource:
    """The source that the settings name.

    Raises:
        UserError: What it needs is not there.
    """
    source: MaskSource = SOURCES[inputs.settings.source](inputs)
    return source


def contracam_source(inputs: MaskInputs) -> MaskSource:
    """ContraCAM on the baseline."""
    settings = inputs.settings
    checkpoint = inputs.checkpoint()
    network = checkpoint_network(checkpoint, settings.expand)
    make = partial(
        contracam_masks,
        inputs.fabric,
        network,
        iterations=settings.iterations,
        positive=settings.positive,
        threshold=settings.threshold,
    )
    image_input = ImageInput(settings.image_size, settings.image_size, checkpoint.mean, checkpoint.std)
    return MaskSource({"embedding": network.embedding_source, "threshold": settings.threshold}, image_input, make)


def tokencut_source(inputs: MaskInputs) -> MaskSource:
    """TokenCut on a vision transformer."""
    settings = inputs.settings
    backbone = inputs.backbone(settings.backbone)
    extractor, seen = AttentionExtractor(backbone, settings.projection), backbone.preprocessing
    grid = extractor.grid(seen.height, seen.width)
    similarity = SIMILARITY if settings.similarity == "auto" else settings.similarity
    make = partial(tokencut_masks, inputs.fabric, extractor, grid, similarity=similarity)
    facts = {"backbone": settings.backbone, "projection": settings.projection, "similarity": similarity}
    return MaskSource(facts, ImageInput(seen.height, seen.width, seen.mean, seen.std), make)


def colours_source(inputs: MaskInputs) -> MaskSource:
    """TokenCut's cut of the patches' mean colours."""
    given = inputs.settings.similarity
    similarity = colours.SIMILARITY if given == "auto" else given
    grid = (colours.GRID, colours.GRID)
    make = partial(tokencut_masks, inputs.fabric, colours.ColourFeatures(), grid, similarity=similarity)
    return MaskSource({"similarity": similarity}, ImageInput(*grid, IMAGENET_MEAN, IMAGENET_STD), make)


def oracle_source(inputs: MaskInputs) -> MaskSource:
    """The true objects."""
    objects = inputs.objects
    objects.require("masks.source = oracle")
    ids = inputs.dataset.ids("train")

    def truth_of(row: int, image_size: tuple[int, int], size: tuple[int, int]) -> ImageTruth | None:
        return image_truth(objects, int(ids[row]), image_size, size)

    return MaskSource({}, _NO_INPUT, partial(oracle_masks, truth_of=truth_of))


def centre_source(inputs: MaskInputs) -> MaskSource:
    """The ellipse in the centre."""
    control = partial(centre_ellipse, share=inputs.settings.centre_share)
    return MaskSource({}, _NO_INPUT, partial(control_masks, control=control))


def whole_source(inputs: MaskInputs) -> MaskSource:  # noqa: ARG001
    """The whole image."""
    return MaskSource({}, _NO_INPUT, partial(control_masks, control=whole_image))
