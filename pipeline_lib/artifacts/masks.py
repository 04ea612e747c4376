"""The masks artifact: one binary pseudo-mask an image of the training split, packed into one array with an index.

``bits.npy`` uint8 holds the packed bits of all masks one after the other, ``offsets.npy`` int64 (n + 1,) where each
begins, ``sizes.npy`` int32 (n, 2) height and width, ``ids.npy`` int64 (n,) the images' ids in the data set's order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline_lib.artifacts.dataset import Dataset
from pipeline_lib.artifacts.folder import META, file_digest, new_folder, open_array, read_meta, write_meta
from pipeline_lib.base.errors import UserError

KIND = "masks"
SCHEMA = 1


def dataset_digest(dataset: Dataset) -> str:
    """What identifies the data set that masks belong to: the digest of its ``meta.json``."""
    return file_digest(dataset.folder / META)


class Masks:
    """Masks by row of the training split; a copy pickled to a worker process maps the files again.

    Attributes:
        folder: Folder of the artifact.
        source: What made the masks: ``masks.source`` of ``params.yaml``.
        threshold: Value of the map above which a pixel was taken; ``auto``: each image's own (Otsu's); ``None``: the
            source knows none.
        ids: Ids of the images, int64 (n,).
    """

    def __init__(self, folder: Path, meta: Mapping[str, Any]) -> None:
        self.folder = folder
        self.source: str = meta["source"]
        self.threshold: float | Literal["auto"] | None = meta["threshold"]
        self._digest: str = meta["dataset"]
        self._open()

    def _open(self) -> None:
        self.ids: NDArray[np.int64] = open_array(self.folder, "ids.npy", ("int64",), (None,))
        count = len(self.ids)
        self._sizes: NDArray[np.int32] = open_array(self.folder, "sizes.npy", ("int32",), (count, 2))
        self._offsets: NDArray[np.int64] = open_array(self.folder, "offsets.npy", ("int64",), (count + 1,))
        self._bits: NDArray[np.uint8] = open_array(self.folder, "bits.npy", ("uint8",), (None,))

    def __getstate__(self) -> dict[str, Any]:
        return {
            "folder": self.folder,
            "source": self.source,
            "threshold": self.threshold,
            "_digest": self._digest,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open()

    def __len__(self) -> int:
        """Number of masks."""
        return len(self.ids)

    def mask(self, row: int) -> NDArray[np.bool_]:
        """Mask of the image in ``row`` of the training split, bool (H, W); its size may be smaller than the image's."""
        height, width = (int(side) for side in self._sizes[row])
        packed = self._bits[self._offsets[row] : self._offsets[row + 1]]
        return np.unpackbits(packed, count=height * width).reshape(height, width).astype(bool)

    def check_belongs_to(self, dataset: Dataset) -> None:
        """Refuse the masks of another data set.

        Raises:
            UserError: They were made for other images.
        """
        if self._digest != dataset_digest(dataset):
            raise UserError(f"{self.folder}: these masks were made for another data set than {dataset.folder}")


def write_masks(
    folder: Path,
    masks: Iterable[NDArray[np.bool_]],
    dataset: Dataset,
    *,
    source: str,
    threshold: float | Literal["auto"] | None,
    made_by: Mapping[str, Any],
) -> None:
    """Write the masks of all images of the training split.

    Args:
        folder: Folder of the artifact.
        masks: One bool (H, W) an image, in the order of the split.
        dataset: The data set.
        source: What made them.
        threshold: Value of the map above which a pixel was taken, ``auto`` or ``None``, as in :class:`Masks`.
        made_by: Stage, settings and seed.

    Raises:
        UserError: There are not as many masks as images.
    """
    ids = dataset.ids("train")
    packed, sizes = [], []
    for mask in masks:
        packed.append(np.packbits(mask))
        sizes.append(mask.shape)
    if len(packed) != len(ids):
        raise UserError(f"{folder}: {len(packed)} masks for the {len(ids)} images of the train split")
    with new_folder(folder) as temporary:
        _write_joined(temporary / "bits.npy", packed)
        np.save(temporary / "offsets.npy", np.cumsum([0, *(len(part) for part in packed)], dtype=np.int64))
        np.save(temporary / "sizes.npy", np.asarray(sizes, dtype=np.int32))
        np.save(temporary / "ids.npy", ids)
        fields = {"source": source, "threshold": threshold, "dataset": dataset_digest(dataset)}
        write_meta(temporary, KIND, SCHEMA, made_by, fields)


def _write_joined(path: Path, parts: Sequence[NDArray[np.uint8]]) -> None:
    """The parts as one ``.npy`` array, without joining them in memory: large data sets have gigabytes of masks."""
    with path.open("wb") as stream:
        facts = {"descr": "|u1", "fortran_order": False, "shape": (sum(len(part) for part in parts),)}
        np.lib.format.write_array_header_1_0(stream, facts)
        for part in parts:
            stream.write(part.tobytes())


def open_masks(folder: Path) -> Masks:
    """Open a masks artifact.

    Args:
        folder: The artifact's folder.

    Returns:
        The reader.

    Raises:
        MissingFileError: There is none.
        UserError: It is damaged or of another kind or layout.
    """
    return Masks(folder, read_meta(folder, KIND, SCHEMA))
