"""The image sources by name, and how one is opened, with the objects of its images where it has them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline_lib.base.errors import UserError
from pipeline_lib.base.registry import Registry, imported
from pipeline_lib.images.sources.annotations import AnnotatedSource
from pipeline_lib.images.sources.records import Labels, Source, Subset
from pipeline_lib.images.sources.voc_splits import VocOptions


@dataclass(frozen=True)
class SourceKind:
    """A kind of image source.

    Attributes:
        path: Where the function is that opens it: from the folder of the data set, and its options by name, to a
            ``Source``, or to an ``AnnotatedSource`` where images have objects.
        options: Which of ``labels``, ``subset`` and ``voc`` it takes.
    """

    path: str
    options: tuple[str, ...] = ()

    @property
    def open(self) -> Callable[..., Source | AnnotatedSource]:
        """The function."""
        found: Callable[..., Source | AnnotatedSource] = imported(self.path)
        return found


SOURCES: Registry[SourceKind] = Registry(
    "data kind",
    {
        "digits": SourceKind("pipeline_lib.images.sources.digits:open_digits"),
        "cifar10": SourceKind("pipeline_lib.images.sources.torchvision_arrays:open_cifar10"),
        "cifar100": SourceKind("pipeline_lib.images.sources.torchvision_arrays:open_cifar100"),
        "cifar20": SourceKind("pipeline_lib.images.sources.torchvision_arrays:open_cifar20"),
        "stl10": SourceKind("pipeline_lib.images.sources.torchvision_arrays:open_stl10"),
        "food101": SourceKind("pipeline_lib.images.sources.food101:open_food101"),
        "fashion_mnist": SourceKind("pipeline_lib.images.sources.fashion_mnist:open_fashion_mnist"),
        "tiny_imagenet": SourceKind("pipeline_lib.images.sources.tiny_imagenet:open_tiny_imagenet"),
        "parquet": SourceKind("pipeline_lib.images.sources.parquet:open_parquet"),
        "imagenet": SourceKind("pipeline_lib.images.sources.imagenet:open_imagenet", ("subset",)),
        "folder": SourceKind("pipeline_lib.images.sources.image_folder:open_folder", ("labels",)),
        "voc": SourceKind("pipeline_lib.images.sources.voc:open_voc", ("voc",)),
        "coco": SourceKind("pipeline_lib.images.sources.coco:open_coco"),
    },
)

_PARAMETERS = {"labels": "labels", "subset": "subset", "voc": "years, task, evaluate_on"}
"""Options by what they are called in params.yaml."""


def open_source(
    kind: str,
    root: Path,
    *,
    labels: Labels = "auto",
    subset: Subset | None = None,
    voc: VocOptions | None = None,
) -> Source:
    """Open an image source; files are checked now, images are read later.

    Args:
        kind: A name of ``SOURCES``.
        root: Folder of the data set; sets that torchvision knows are downloaded into it where absent. Not looked at by
            ``digits``, which comes with scikit-learn.
        labels: Where ``folder`` takes labels from, see ``open_folder``.
        subset: Which classes ``imagenet`` takes, see ``open_imagenet``.
        voc: Years, task and splits of ``voc``.

    Returns:
        The source.

    Raises:
        UserError: The kind is unknown, an option belongs to another kind, or the files are not as the kind wants them.
        MissingFileError: Files are absent and could not be downloaded.
    """
    return open_annotated_source(kind, root, labels=labels, subset=subset, voc=voc).source


def open_annotated_source(
    kind: str,
    root: Path,
    *,
    labels: Labels = "auto",
    subset: Subset | None = None,
    voc: VocOptions | None = None,
) -> AnnotatedSource:
    """Open an image source with the objects of its images; arguments and errors are those of ``open_source``.

    Returns:
        The source; only ``voc`` and ``coco`` have objects.
    """
    found = SOURCES[kind]
    given = {"labels": labels, "subset": subset, "voc": voc}
    _check_options(kind, given, {"labels": "auto", "subset": None, "voc": VocOptions()})
    opened = found.open(root, **{name: given[name] for name in found.options})
    return opened if isinstance(opened, AnnotatedSource) else AnnotatedSource(opened)


def _check_options(kind: str, given: dict[str, Any], defaults: dict[str, Any]) -> None:
    for option, value in given.items():
        if value not in (None, defaults[option]) and option not in SOURCES[kind].options:
            owners = ", ".join(repr(name) for name, other in SOURCES.items() if option in other.options)
            raise UserError(f"data {_PARAMETERS[option]}: got {value!r} with kind {kind!r}; allowed with {owners} only")
