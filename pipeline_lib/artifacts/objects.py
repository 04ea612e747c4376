"""The objects artifact: boxes, classes and masks of a data set's images, and maps of their pixels' classes.

``objects.parquet`` has one row an object: ``id`` int64 (of the image), ``split``, ``label`` int32, the box ``x0``,
``y0``, ``x1``, ``y1`` float32 in pixels from 0 with exclusive ends, ``difficult`` and ``crowd`` bool, ``mask`` (a PNG
of the image's size, not 0 on the object, or null). ``segmentation.parquet`` has one row an image that has a map:
``id``, ``split``, ``map`` (an 8-bit PNG: 0 background, 1 + label, 255 not counted). Images without objects have no row.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from pipeline_lib.artifacts.folder import new_folder, read_meta, write_meta
from pipeline_lib.base.errors import UserError

KIND = "objects"
SCHEMA = 1
OBJECTS = "objects.parquet"
SEGMENTATION = "segmentation.parquet"
IGNORED = 255
_GROUP_ROWS = 4096
_OBJECT_COLUMNS = pa.schema(
    [
        ("id", pa.int64()),
        ("split", pa.string()),
        ("label", pa.int32()),
        *((side, pa.float32()) for side in ("x0", "y0", "x1", "y1")),
        ("difficult", pa.bool_()),
        ("crowd", pa.bool_()),
        ("mask", pa.binary()),
    ]
)
_SEGMENTATION_COLUMNS = pa.schema([("id", pa.int64()), ("split", pa.string()), ("map", pa.binary())])


@dataclass(frozen=True)
class ImageObjects:
    """Objects of one image.

    Attributes:
        boxes: float32 (n, 4): x0, y0, x1, y1 in pixels, ends exclusive.
        labels: int32 (n,), from 0.
        difficult: bool (n,): not counted in VOC's metric.
        crowd: bool (n,): a region of many objects, not counted in COCO's metric.
        masks: bool (n, H, W), or ``None`` where not every object has one.
    """

    boxes: NDArray[np.float32]
    labels: NDArray[np.int32]
    difficult: NDArray[np.bool_]
    crowd: NDArray[np.bool_]
    masks: NDArray[np.bool_] | None


def encoded_png(pixels: NDArray[Any]) -> bytes:
    """A PNG of a bool or uint8 (H, W) array; bool becomes one bit a pixel."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def decoded_png(content: bytes) -> NDArray[np.uint8]:
    """Pixels of an 8-bit, palette or 1-bit PNG as they are stored, uint8 (H, W)."""
    return np.asarray(Image.open(io.BytesIO(content))).astype(np.uint8)


class Objects:
    """The objects of a data set, read into memory but for the masks, which stay encoded.

    Attributes:
        class_names: Names by label; empty where the data set has no objects.
    """

    def __init__(self, folder: Path, meta: Mapping[str, Any]) -> None:
        self.folder = folder
        self.class_names: tuple[str, ...] = tuple(meta["class_names"])
        self._table = pq.read_table(folder / OBJECTS)
        ids = np.asarray(self._table.column("id"), dtype=np.int64)
        order = np.argsort(ids, kind="stable")
        self._rows: dict[int, NDArray[np.int64]] = {int(group[0]): rows for group, rows in _grouped(ids[order], order)}
        maps = pq.read_table(folder / SEGMENTATION)
        self._maps: dict[int, bytes] = dict(
            zip(maps.column("id").to_pylist(), maps.column("map").to_pylist(), strict=True)
        )

    def __len__(self) -> int:
        """Number of objects."""
        return int(self._table.num_rows)

    def of(self, image_id: int, *, with_masks: bool = True) -> ImageObjects:
        """Objects of an image, in the source's order; empty arrays where it has none.

        Args:
            image_id: Id of the image.
            with_masks: ``False`` leaves the masks encoded, which is faster; ``masks`` is ``None`` then.
        """
        rows = self._table.take(pa.array(np.sort(self._rows.get(int(image_id), np.zeros(0, dtype=np.int64)))))
        boxes = np.stack(
            [np.asarray(rows.column(side), dtype=np.float32) for side in ("x0", "y0", "x1", "y1")], axis=1
        )  # (n, 4)
        encoded = rows.column("mask").to_pylist() if with_masks else []
        masks = None
        if encoded and all(mask is not None for mask in encoded):
            masks = np.stack([decoded_png(mask) > 0 for mask in encoded])  # (n, H, W)
        return ImageObjects(
            boxes=boxes.reshape(-1, 4),
            labels=np.asarray(rows.column("label"), dtype=np.int32),
            difficult=np.asarray(rows.column("difficult"), dtype=bool),
            crowd=np.asarray(rows.column("crowd"), dtype=bool),
            masks=masks,
        )

    def segmentation(self, image_id: int) -> NDArray[np.uint8] | None:
        """Class of every pixel of an image, uint8 (H, W): 0 background, 1 + label, 255 not counted; or ``None``."""
        content = self._maps.get(int(image_id))
        return None if content is None else decoded_png(content)

    def with_segmentation(self, ids: Iterable[int]) -> list[int]:
        """Those of ``ids`` that have a map of their pixels, in the same order."""
        return [int(image_id) for image_id in ids if int(image_id) in self._maps]

    def with_boxes(self, ids: Iterable[int]) -> list[int]:
        """Those of ``ids`` whose image has an object that is no crowd, in the same order."""
        single = pc.invert(self._table.column("crowd"))
        having = set(self._table.column("id").filter(single).to_pylist())
        return [int(image_id) for image_id in ids if int(image_id) in having]

    @property
    def has_masks(self) -> bool:
        """Whether there are objects and each has a mask."""
        return len(self) > 0 and self._table.column("mask").null_count == 0

    @property
    def has_crowds(self) -> bool:
        """Whether a region of many objects is among the objects."""
        return bool(pc.any(self._table.column("crowd")).as_py())

    def require(self, what: str) -> None:
        """Refuse a data set without objects.

        Raises:
            UserError: There are none; ``what`` names the work that needs them.
        """
        if not len(self):
            raise UserError(f"{self.folder}: the data set has no boxes, which {what} needs; choose another one")


def _grouped(ids: NDArray[np.int64], order: NDArray[np.int64]) -> Iterable[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    starts = np.flatnonzero(np.diff(ids)) + 1
    groups, rows = np.split(ids, starts), np.split(order, starts)
    return ((group, row) for group, row in zip(groups, rows, strict=True) if len(group))


class ObjectsWriter:
    """Context manager that writes an objects artifact row by row; nothing of it is left when the block fails."""

    def __init__(self, folder: Path, class_names: Sequence[str], made_by: Mapping[str, Any]) -> None:
        """Prepare to write.

        Args:
            folder: Folder of the artifact.
            class_names: Names by label; empty where the data set has no objects.
            made_by: Stage, settings and seed.
        """
        self._folder = folder
        self._class_names = list(class_names)
        self._made_by = made_by
        self._stack = ExitStack()

    def __enter__(self) -> ObjectsWriter:
        with ExitStack() as stack:
            self._temporary = stack.enter_context(new_folder(self._folder))
            self._objects = _RowWriter(self._temporary / OBJECTS, _OBJECT_COLUMNS)
            stack.callback(self._objects.close)
            self._maps = _RowWriter(self._temporary / SEGMENTATION, _SEGMENTATION_COLUMNS)
            stack.callback(self._maps.close)
            self._stack = stack.pop_all()
        return self

    def add_object(self, row: Mapping[str, Any]) -> None:
        """Add a row of ``objects.parquet``, columns as the module says."""
        self._objects.add(row)

    def add_segmentation(self, row: Mapping[str, Any]) -> None:
        """Add a row of ``segmentation.parquet``."""
        self._maps.add(row)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        if kind is None:
            self._objects.close()
            self._maps.close()
            write_meta(self._temporary, KIND, SCHEMA, self._made_by, {"class_names": self._class_names})
        return self._stack.__exit__(kind, error, traceback)


class _RowWriter:
    """Collects rows into row groups of a file."""

    def __init__(self, path: Path, schema: Any) -> None:
        self._schema = schema
        self._writer: Any = pq.ParquetWriter(path, schema, compression="zstd")
        self._rows: list[Mapping[str, Any]] = []

    def add(self, row: Mapping[str, Any]) -> None:
        """Add a row."""
        self._rows.append(row)
        if len(self._rows) == _GROUP_ROWS:
            self._flush()

    def _flush(self) -> None:
        self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
        self._rows = []

    def close(self) -> None:
        """Write what is collected, and the footer; a second call does nothing."""
        if self._writer.is_open:
            self._flush()
            self._writer.close()


def open_objects(folder: Path) -> Objects:
    """Open an objects artifact.

    Args:
        folder: The artifact's folder.

    Returns:
        The reader.

    Raises:
        MissingFileError: There is none.
        UserError: It is damaged or of another kind or layout.
    """
    return Objects(folder, read_meta(folder, KIND, SCHEMA))
