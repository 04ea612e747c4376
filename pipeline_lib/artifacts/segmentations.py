"""The segmentations artifact: predicted maps of some test images by each way of training, and the linear layers.

``maps.parquet`` has one row an image and mode: ``id`` int64 (of the image), ``mode`` (``frozen``, ``fine_tuned``) and
``map`` (an 8-bit PNG: 0 background, 1 + label). ``<mode>.safetensors`` holds the linear layer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from pipeline_lib.artifacts.folder import new_folder, read_meta, write_meta
from pipeline_lib.artifacts.objects import decoded_png, encoded_png

KIND = "segmentations"
SCHEMA = 1
FILE = "maps.parquet"
_COLUMNS = pa.schema([("id", pa.int64()), ("mode", pa.string()), ("map", pa.binary())])


@dataclass(frozen=True)
class SegmentedMode:
    """What one way of training gave.

    Attributes:
        maps: Predicted classes by image id, uint8 (H, W): 0 background, 1 + label.
        layer: Weights of the linear layer.
        class_iou: IoU by class name, ``None`` where a class occurs nowhere.
        history: Losses of the training.
    """

    maps: Mapping[int, NDArray[np.uint8]]
    layer: Mapping[str, torch.Tensor]
    class_iou: Mapping[str, float | None]
    history: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Segmentations:
    """An opened artifact.

    Attributes:
        folder: Folder of the artifact.
        split: Split of the test images.
        class_names: Names by label.
        modes: Facts by mode: ``class_iou``, ``history``.
        maps: By mode, the maps by image id.
    """

    folder: Path
    split: str
    class_names: tuple[str, ...]
    modes: dict[str, dict[str, Any]]
    maps: dict[str, dict[int, NDArray[np.uint8]]]


def write_segmentations(
    folder: Path,
    modes: Mapping[str, SegmentedMode],
    *,
    class_names: Sequence[str],
    split: str,
    made_by: Mapping[str, Any],
) -> None:
    """Write the artifact.

    Args:
        folder: Folder of the artifact.
        modes: What each way of training gave.
        class_names: Names by label.
        split: Split of the test images.
        made_by: Stage, settings and seed.
    """
    rows = [
        {"id": image_id, "mode": name, "map": encoded_png(found)}
        for name, mode in modes.items()
        for image_id, found in mode.maps.items()
    ]
    facts = {
        name: {"class_iou": dict(mode.class_iou), "history": [dict(entry) for entry in mode.history]}
        for name, mode in modes.items()
    }
    with new_folder(folder) as temporary:
        pq.write_table(pa.Table.from_pylist(rows, schema=_COLUMNS), temporary / FILE, compression="zstd")
        for name, mode in modes.items():
            layer = {key: value.detach().cpu().contiguous() for key, value in mode.layer.items()}
            save_file(layer, temporary / f"{name}.safetensors")
        fields = {"split": split, "class_names": list(class_names), "modes": facts}
        write_meta(temporary, KIND, SCHEMA, made_by, fields)


def open_segmentations(folder: Path) -> Segmentations:
    """Open a segmentations artifact.

    Args:
        folder: The artifact's folder.

    Returns:
        The reader.

    Raises:
        MissingFileError: There is none.
        UserError: It is damaged or of another kind or layout.
    """
    meta = read_meta(folder, KIND, SCHEMA)
    maps: dict[str, dict[int, NDArray[np.uint8]]] = {name: {} for name in meta["modes"]}
    for row in pq.read_table(folder / FILE).to_pylist():
        maps[row["mode"]][int(row["id"])] = decoded_png(row["map"])
    return Segmentations(folder, meta["split"], tuple(meta["class_names"]), meta["modes"], maps)
