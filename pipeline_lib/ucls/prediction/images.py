"""New images: files, folders and Parquet files, read in order as batches of tensors by worker processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from pipeline_lib.backbones.preprocessing import ImageTransform
from pipeline_lib.base.errors import MissingFileError, UserError
from pipeline_lib.images.decoding import UndecodableImageError, decode
from pipeline_lib.images.image_files import IMAGE_EXTENSIONS, is_image_name, walk
from pipeline_lib.images.sources.parquet import check_columns


class ImageReference(NamedTuple):
    """Where an image is: a file, or a row of a Parquet file."""

    path: str
    row: int | None = None

    @property
    def name(self) -> str:
        """What outputs and messages call it: its path, or ``file.parquet#row``."""
        return self.path if self.row is None else f"{self.path}#{self.row}"


@dataclass(frozen=True)
class FoundImages:
    """Images to predict.

    Attributes:
        references: In the order of the inputs, within a folder in the order of ``walk``.
        empty: Inputs in which there is no image.
    """

    references: tuple[ImageReference, ...]
    empty: tuple[Path, ...]


def find_images(inputs: Sequence[Path]) -> FoundImages:
    """Find the images of files and folders; no image is opened.

    Args:
        inputs: Folders, which are searched with all that is below them for files with an image's extension;
            ``.parquet`` files with a column ``image`` of encoded bytes; any other files are taken for images.

    Returns:
        The images.

    Raises:
        MissingFileError: An input does not exist.
        UserError: There is no image in any of the inputs, or a Parquet file has no images.
    """
    references: list[ImageReference] = []
    empty: list[Path] = []
    for path in inputs:
        before = len(references)
        references += _references(path)
        if len(references) == before:
            empty.append(path)
    if not references:
        where = ", ".join(str(path) for path in empty)
        raise UserError(
            f"{where}: no image in it; accepted in folders are {', '.join(IMAGE_EXTENSIONS)}; "
            "Parquet files have to be named themselves"
        )
    return FoundImages(tuple(references), tuple(empty))


def _references(path: Path) -> Iterator[ImageReference]:
    if any("\udc80" <= letter <= "\udcff" for letter in str(path)):
        raise UserError(f"{str(path)!a}: the name is not UTF-8; rename it")
    if path.is_dir():
        yield from (ImageReference(str(path / below)) for below in walk(path) if is_image_name(below))
    elif not path.exists():
        raise MissingFileError(f"{path}: no such file or folder")
    elif path.suffix.lower() == ".parquet":
        check_columns(path)
        yield from (ImageReference(str(path), row) for row in range(pq.read_metadata(path).num_rows))
    else:
        yield ImageReference(str(path))


class _ParquetRows:
    """Encoded images of Parquet files by row; the row group that was read last is kept."""

    def __init__(self) -> None:
        self._path = ""
        self._file: Any = None
        self._starts: Any = None
        self._group = -1
        self._images: Any = None

    def __call__(self, path: str, row: int) -> bytes:
        """Encoded image of a row; empty where it is null."""
        if path != self._path:
            self._file = pq.ParquetFile(path, pre_buffer=False)
            groups = range(self._file.metadata.num_row_groups)
            self._starts = np.cumsum([0, *(self._file.metadata.row_group(group).num_rows for group in groups)])
            self._path, self._group = path, -1
        group = int(np.searchsorted(self._starts, row, side="right")) - 1
        if group != self._group:
            self._images = self._file.read_row_group(group, columns=["image"], use_threads=False).column("image")
            self._group = group
        value = self._images[row - int(self._starts[group])].as_py()
        encoded: bytes | None = value["bytes"] if isinstance(value, dict) else value
        return encoded or b""


class ImageTensors(Dataset[Tensor | UndecodableImageError]):
    """Preprocessed images by number; an error in the place of those that cannot be used."""

    def __init__(self, references: Sequence[ImageReference], transform: ImageTransform) -> None:
        self._references = references
        self._transform = transform
        self._parquet = _ParquetRows()

    def __len__(self) -> int:
        return len(self._references)

    def __getitem__(self, number: int) -> Tensor | UndecodableImageError:
        reference = self._references[number]
        wanted = self._transform.preprocessing
        try:
            encoded = None if reference.row is None else self._parquet(reference.path, reference.row)
            image = decode(Path(reference.path) if encoded is None else encoded, reference.name)
        except UndecodableImageError as error:
            return error
        if wanted.fit == "native" and image.size != (wanted.width, wanted.height):
            return UndecodableImageError(
                f"{reference.name}: {image.height} x {image.width} pixels (height x width); "
                f"this model takes images of {wanted.height} x {wanted.width} only"
            )
        return self._transform(image)


class ImageBatch(NamedTuple):
    """Consecutive images.

    Attributes:
        used: Position within the batch of each image that can be used, (B,).
        images: These images, float32 (B, 3, H, W); None where there is none.
        errors: Why the others cannot be used.
    """

    used: list[int]
    images: Tensor | None
    errors: list[UndecodableImageError]


def _collate(items: list[Tensor | UndecodableImageError]) -> ImageBatch:
    used = [position for position, item in enumerate(items) if isinstance(item, Tensor)]
    images = [item for item in items if isinstance(item, Tensor)]
    errors = [item for item in items if isinstance(item, UndecodableImageError)]
    return ImageBatch(used, torch.stack(images) if images else None, errors)


def image_batches(
    references: Sequence[ImageReference], transform: ImageTransform, batch_size: int, workers: int
) -> DataLoader[Any]:
    """Read images in order.

    Args:
        references: The images.
        transform: Preprocessing of the model.
        batch_size: Images a batch; the last one may have fewer.
        workers: Processes that decode; 0 decodes in this one.

    Returns:
        A loader of ``ImageBatch``, in the order of ``references`` for any number of workers.
    """
    batches = -(-len(references) // batch_size)
    return DataLoader(
        ImageTensors(references, transform),
        batch_size=batch_size,
        num_workers=min(workers, batches),
        collate_fn=_collate,
    )
