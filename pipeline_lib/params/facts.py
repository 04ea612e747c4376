"""Facts in ``params.yaml``: data sets, backbones and checkpoints that are given."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, TypedDict

from pydantic import Field, model_validator

from pipeline_lib.base.settings import Count, Names, Settings
from pipeline_lib.images.sources.records import Labels, Subset
from pipeline_lib.images.sources.voc_splits import EvaluateOn, VocOptions, VocTask

SourceKind = Literal[
    "digits",
    "cifar10",
    "cifar100",
    "cifar20",
    "stl10",
    "food101",
    "fashion_mnist",
    "tiny_imagenet",
    "parquet",
    "imagenet",
    "folder",
    "voc",
    "coco",
]
Channels = Annotated[tuple[float, float, float], Field(strict=False)]


class GivenCheckpoint(Settings):
    """A ResNet that is not trained here: random weights, or a file."""

    source: Literal["random", "file"]
    path: str | None = None
    architecture: Literal["auto", "resnet18", "resnet34", "resnet50"] = "auto"

    @model_validator(mode="after")
    def _path_is_given(self) -> Self:
        if self.source == "file" and not self.path:
            raise ValueError("source = 'file' needs path")
        return self


_VOC_KEYS = ("years", "task", "evaluate_on")


class ReadingOptions(TypedDict):
    """Options of ``pipeline_lib.images.sources.registry.open_source``."""

    labels: Labels
    subset: Subset | None
    voc: VocOptions


class Dataset(Settings):
    """Facts of one data set; its files lie in ``data/raw/<name>``."""

    source: SourceKind
    classes: Literal["auto"] | Annotated[int, Field(ge=2)]
    subset: Subset | None = None
    labels: Labels = "auto"
    years: Annotated[tuple[int, ...], Field(strict=False, min_length=1)] | None = None
    task: VocTask = "detection"
    evaluate_on: EvaluateOn = "auto"

    def reading(self) -> ReadingOptions:
        """Options of ``pipeline_lib.images.sources.registry.open_source``."""
        voc = VocOptions(self.years, self.task, self.evaluate_on)
        return {"labels": self.labels, "subset": self.subset, "voc": voc}

    def recorded(self) -> dict[str, Any]:
        """What the artifacts made of the images record: how they were read, and nothing of other kinds of source."""
        return self.model_dump(exclude={"classes"} if self.source == "voc" else {"classes", *_VOC_KEYS})


class Weights(Settings):
    """Where a backbone's weights come from."""

    source: Literal["hub", "file", "package", "none"]
    path: str | None = None
    package: str | None = None

    @model_validator(mode="after")
    def _place_is_given(self) -> Self:
        if self.source in ("file", "package") and not getattr(self, "path" if self.source == "file" else "package"):
            key = "path" if self.source == "file" else "package"
            raise ValueError(f"source = {self.source!r} needs {key}")
        return self


class Backbone(Settings):
    """Facts of one backbone."""

    model: str
    weights: Weights
    image_size: Count | None = None
    crop_fraction: Annotated[float, Field(gt=0, le=1)] | None = None
    mean: Channels | None = None
    std: Channels | None = None
    blocks: Names | None = None
    last_blocks: Count = 4
