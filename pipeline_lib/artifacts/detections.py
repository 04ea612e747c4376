"""The detections artifact: what a detector found on the test images, and how it was trained.

``detections.parquet`` has one row a detection, by image and falling score: ``id`` int64 (of the image), ``label``
int32, ``score`` float32, the box ``x0``, ``y0``, ``x1``, ``y1`` float32 in pixels from 0 with exclusive ends, and
``mask`` (COCO's compressed run lengths) with ``height`` and ``width`` int32 of the image, all null without masks.
``images.npy`` int64 (n,) holds the ids of the tested images, those without detections too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pycocotools import mask as run_lengths

from pipeline_lib.artifacts.folder import new_folder, open_array, read_meta, write_meta

KIND = "detections"
SCHEMA = 1
FILE = "detections.parquet"
IMAGES = "images.npy"
_COLUMNS = pa.schema(
    [
        ("id", pa.int64()),
        ("label", pa.int32()),
        ("score", pa.float32()),
        *((side, pa.float32()) for side in ("x0", "y0", "x1", "y1")),
        ("mask", pa.binary()),
        ("height", pa.int32()),
        ("width", pa.int32()),
    ]
)


@dataclass(frozen=True)
class Detections:
    """Detections of many images, one row each.

    Attributes:
        images: Ids of the tested images, int64 (n,).
        ids: Image of each detection, int64 (d,).
        labels: int32 (d,), from 0.
        scores: float32 (d,) in [0, 1].
        boxes: x0, y0, x1, y1 in the image's pixels from 0, ends exclusive, float32 (d, 4).
        masks: Compressed run lengths of each, or ``None`` without masks.
        sizes: Height and width of each detection's image, int32 (d, 2).
    """

    images: NDArray[np.int64]
    ids: NDArray[np.int64]
    labels: NDArray[np.int32]
    scores: NDArray[np.float32]
    boxes: NDArray[np.float32]
    masks: tuple[bytes, ...] | None
    sizes: NDArray[np.int32]

    def __len__(self) -> int:
        """Number of detections."""
        return len(self.ids)

    def rows(self, image_id: int) -> NDArray[np.int64]:
        """Rows of an image's detections by falling score, int64 (k,)."""
        return np.flatnonzero(self.ids == image_id)

    def mask(self, row: int) -> NDArray[np.bool_]:
        """Mask of a detection, bool (height, width)."""
        if self.masks is None:
            raise ValueError("these detections have no masks")
        height, width = (int(side) for side in self.sizes[row])
        return decoded_mask(self.masks[row], height, width)


def encoded_masks(masks: NDArray[np.bool_]) -> list[bytes]:
    """COCO's compressed run lengths of bool (n, H, W)."""
    if not len(masks):
        return []
    columns = np.asfortranarray(masks.transpose(1, 2, 0).astype(np.uint8))  # (H, W, n)
    return [bytes(each["counts"]) for each in run_lengths.encode(columns)]


def decoded_mask(counts: bytes, height: int, width: int) -> NDArray[np.bool_]:
    """Pixels of one mask, bool (height, width)."""
    pixels: NDArray[np.uint8] = run_lengths.decode({"size": [height, width], "counts": counts})
    return pixels.astype(bool)


@dataclass(frozen=True)
class DetectionRun:
    """An opened artifact.

    Attributes:
        folder: Its folder.
        class_names: Names by label.
        split: Split that was tested.
        metrics: Average precisions in [0, 1] by name.
        class_precision: Average precision of each class, ``None`` where the tested images have none of it.
        history: One row for every twentieth of the training.
    """

    folder: Path
    class_names: tuple[str, ...]
    split: str
    metrics: dict[str, float]
    class_precision: dict[str, float | None]
    history: tuple[dict[str, Any], ...]

    def detections(self) -> Detections:
        """Read the detections."""
        table = pq.read_table(self.folder / FILE)
        masks = table.column("mask").to_pylist()
        sizes = [np.asarray(table.column(side).fill_null(0), dtype=np.int32) for side in ("height", "width")]
        boxes = [np.asarray(table.column(side), dtype=np.float32) for side in ("x0", "y0", "x1", "y1")]
        return Detections(
            images=open_array(self.folder, IMAGES, ("int64",), (None,)),
            ids=np.asarray(table.column("id"), dtype=np.int64),
            labels=np.asarray(table.column("label"), dtype=np.int32),
            scores=np.asarray(table.column("score"), dtype=np.float32),
            boxes=np.stack(boxes, axis=1),
            masks=None if any(mask is None for mask in masks) or not masks else tuple(masks),
            sizes=np.stack(sizes, axis=1),
        )


def write_detections(
    folder: Path,
    detections: Detections,
    *,
    class_names: Sequence[str],
    split: str,
    metrics: Mapping[str, float],
    class_precision: Mapping[str, float | None],
    history: Sequence[Mapping[str, Any]],
    made_by: Mapping[str, Any],
) -> None:
    """Write the artifact; see :class:`DetectionRun` for the arguments.

    Args:
        folder: Folder of the artifact.
        detections: The detections.
        class_names: Names by label.
        split: Split that was tested.
        metrics: Average precisions.
        class_precision: Average precision of each class.
        history: What was watched during training.
        made_by: Stage, settings and seed.
    """
    sides = {side: detections.boxes[:, number] for number, side in enumerate(("x0", "y0", "x1", "y1"))}
    without = [None] * len(detections)
    masked = detections.masks is not None
    table = pa.table(
        {
            "id": detections.ids,
            "label": detections.labels,
            "score": detections.scores,
            **sides,
            "mask": list(detections.masks or without),
            "height": detections.sizes[:, 0] if masked else without,
            "width": detections.sizes[:, 1] if masked else without,
        },
        schema=_COLUMNS,
    )
    with new_folder(folder) as temporary:
        pq.write_table(table, temporary / FILE, compression="zstd")
        np.save(temporary / IMAGES, detections.images)
        fields = {
            "class_names": list(class_names),
            "split": split,
            "metrics": dict(metrics),
            "class_precision": dict(class_precision),
            "history": [dict(row) for row in history],
        }
        write_meta(temporary, KIND, SCHEMA, made_by, fields)


def open_detections(folder: Path) -> DetectionRun:
    """Open a detections artifact.

    Args:
        folder: The artifact's folder.

    Returns:
        The reader.

    Raises:
        MissingFileError: There is none.
        UserError: It is damaged or of another kind or layout.
    """
    meta = read_meta(folder, KIND, SCHEMA)
    return DetectionRun(
        folder=folder,
        class_names=tuple(meta["class_names"]),
        split=meta["split"],
        metrics=meta["metrics"],
        class_precision=meta["class_precision"],
        history=tuple(meta["history"]),
    )
