"""Facts of the data sets."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypedDict

from pydantic import Field

from pipeline_lib.base.registry import OneOf
from pipeline_lib.base.settings import Settings
from pipeline_lib.images.sources.records import Labels, Subset
from pipeline_lib.images.sources.registry import SOURCES
from pipeline_lib.images.sources.voc_splits import EvaluateOn, VocOptions, VocTask

_VOC_KEYS = ("years", "task", "evaluate_on")


class ReadingOptions(TypedDict):
    """Options of ``pipeline_lib.images.sources.registry.open_source``."""

    labels: Labels
    subset: Subset | None
    voc: VocOptions


class DatasetFacts(Settings):
    """Facts of one data set; its files lie in ``data/raw/<name>``.

    Attributes:
        source: How its files are read.
        classes: Number of classes, or ``auto``: chosen without labels.
        subset: Of ``imagenet``: which classes are taken.
        labels: Of ``folder``: whether subfolders are classes; ``auto``: where there are any.
        years: Of ``voc``: years of the folders ``VOC<year>``; null: all that are there.
        task: Of ``voc``: whose lists of images are read.
        evaluate_on: Of ``voc``: ``test`` trains on trainval and evaluates on test, ``val`` on train and val; ``auto``:
            the former where there is a test list.
    """

    source: Annotated[str, OneOf(SOURCES)]
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
