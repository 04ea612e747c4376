"""Opens an image source by its kind, with the objects of its images where the kind has them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pipeline_lib.base.errors import UserError
from pipeline_lib.images.sources.annotations import AnnotatedSource
from pipeline_lib.images.sources.coco import open_coco
from pipeline_lib.images.sources.digits import open_digits
from pipeline_lib.images.sources.fashion_mnist import open_fashion_mnist
from pipeline_lib.images.sources.food101 import open_food101
from pipeline_lib.images.sources.image_folder import open_folder
from pipeline_lib.images.sources.imagenet import open_imagenet
from pipeline_lib.images.sources.parquet import open_parquet
from pipeline_lib.images.sources.records import Labels, Record, Source, Subset
from pipeline_lib.images.sources.tiny_imagenet import open_tiny_imagenet
from pipeline_lib.images.sources.torchvision_arrays import open_cifar10, open_cifar20, open_cifar100, open_stl10
from pipeline_lib.images.sources.voc import open_voc
from pipeline_lib.images.sources.voc_splits import VocOptions

__all__ = ["KINDS", "Record", "Source", "open_annotated_source", "open_source"]

_WITHOUT_OPTIONS: dict[str, Callable[[Path], Source]] = {
    "digits": lambda _: open_digits(),
    "cifar10": open_cifar10,
    "cifar20": open_cifar20,
    "cifar100": open_cifar100,
    "stl10": open_stl10,
    "food101": open_food101,
    "fashion_mnist": open_fashion_mnist,
    "tiny_imagenet": open_tiny_imagenet,
    "parquet": open_parquet,
}
KINDS = (*_WITHOUT_OPTIONS, "imagenet", "folder", "voc", "coco")


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
        kind: One of ``KINDS``.
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
    _check_options(kind, labels, subset, voc)
    if kind == "voc":
        return open_voc(root, voc)
    if kind == "coco":
        return open_coco(root)
    if kind == "folder":
        return AnnotatedSource(open_folder(root, labels))
    if kind == "imagenet":
        return AnnotatedSource(open_imagenet(root, subset))
    return AnnotatedSource(_WITHOUT_OPTIONS[kind](root))


def _check_options(kind: str, labels: Labels, subset: Subset | None, voc: VocOptions | None) -> None:
    if kind not in KINDS:
        raise UserError(f"data kind: got {kind!r}, allowed are {', '.join(KINDS)}")
    if labels != "auto" and kind != "folder":
        raise UserError(
            f"data labels: got {labels!r} with kind {kind!r}, allowed is 'auto'; only 'folder' has a choice"
        )
    if subset is not None and kind != "imagenet":
        raise UserError(f"data subset: got {subset!r} with kind {kind!r}, allowed is null; only 'imagenet' has subsets")
    if voc not in (None, VocOptions()) and kind != "voc":
        raise UserError(f"data years, task, evaluate_on: got {voc} with kind {kind!r}; only 'voc' has them")
