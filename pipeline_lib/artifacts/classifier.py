"""The linear classifier: all that predicting on a new image needs, the grid it was chosen from, and predictions.

``classifier.safetensors`` holds ``mean`` and ``inverse_scale`` (D,), ``weight`` (C, D) and ``bias`` (C,), float32: the
logits of features x are ``weight @ ((x - mean) * inverse_scale) + bias``. ``{split}.parquet`` holds its predictions,
``{split}_grid.npy`` (S, n) int32 the clusters that all classifiers of the grid find.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from pipeline_lib.artifacts.folder import new_folder, open_array, read_meta, write_meta
from pipeline_lib.base.errors import UserError

KIND = "classifier"
SCHEMA = 1
WEIGHTS = "classifier.safetensors"
TENSORS = ("mean", "inverse_scale", "weight", "bias")
PREDICTION_COLUMNS = pa.schema(
    [("id", pa.int64()), ("cluster", pa.int32()), ("probability", pa.float32()), ("entropy", pa.float32())]
)

PredictionRows = tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32], NDArray[np.float32]]
"""Ids, clusters, probabilities of these clusters and entropies (nats) of consecutive images, (b,) each."""


@dataclass(frozen=True)
class Predictions:
    """Predictions of one split, in the data set's order.

    Attributes:
        ids: Image ids, (n,) int64.
        clusters: Most probable cluster, (n,) int32.
        probability: Its probability, (n,) float32.
        entropy: Entropy over the clusters in nats, (n,) float32.
    """

    ids: NDArray[np.int64]
    clusters: NDArray[np.int32]
    probability: NDArray[np.float32]
    entropy: NDArray[np.float32]


@dataclass(frozen=True)
class Classifier:
    """An opened classifier artifact.

    Attributes:
        folder: Its folder.
        backbone: Facts of the backbone that the features come from.
        blocks: Names and widths of the feature blocks that it takes, in column order.
        classes: Number of clusters C.
        cluster_names: Name of each cluster, or None.
        scaling: How its features are scaled; the tensors hold the numbers.
        grid: One row for each classifier of the grid.
        chosen: Name of the chosen one in ``grid``.
        splits: Number of predictions of each split.
        grid_splits: Splits with predictions of the whole grid.
        made_by: Stage, data set, backbone and settings that made it.
    """

    folder: Path
    backbone: dict[str, Any]
    blocks: tuple[tuple[str, int], ...]
    classes: int
    cluster_names: tuple[str, ...] | None
    scaling: str
    grid: list[dict[str, Any]]
    chosen: str
    splits: dict[str, int]
    grid_splits: tuple[str, ...]
    made_by: dict[str, Any]

    def state(self) -> dict[str, Tensor]:
        """The four tensors by name.

        Raises:
            UserError: Names or shapes are not those that ``meta.json`` announces.
        """
        state = load_file(self.folder / WEIGHTS)
        _check_state(state, self.blocks, self.classes, str(self.folder / WEIGHTS))
        return state

    def predictions(self, split: str) -> Predictions:
        """Predictions of ``split``.

        Raises:
            UserError: There are none for this split.
        """
        if split not in self.splits:
            raise UserError(f"{self.folder}: no predictions for {split!r}; it has {', '.join(self.splits) or 'none'}")
        table = pq.read_table(self.folder / f"{split}.parquet", schema=PREDICTION_COLUMNS)
        return Predictions(*(column.to_numpy() for column in table.columns))

    def grid_predictions(self, split: str) -> NDArray[np.int32]:
        """Most probable cluster by every classifier of ``grid``, (S, n), memory-mapped, in the data set's order.

        Raises:
            UserError: There are none for this split.
        """
        if split not in self.grid_splits:
            raise UserError(f"{self.folder}: no predictions of the grid for {split!r}; run the stage self_train again")
        return open_array(self.folder, _grid_file(split), ["int32"], [len(self.grid), self.splits[split]])


def _grid_file(split: str) -> str:
    return f"{split}_grid.npy"


def _check_state(state: Mapping[str, Tensor], blocks: Sequence[tuple[str, int]], classes: int, where: str) -> None:
    width = sum(columns for _, columns in blocks)
    expected = {"mean": (width,), "inverse_scale": (width,), "weight": (classes, width), "bias": (classes,)}
    found = {name: tuple(value.shape) for name, value in state.items()}
    if found != expected:
        raise UserError(f"{where}: expected tensors {expected}, found {found}")


def _check_names(
    cluster_names: Sequence[str] | None, classes: int, grid: Sequence[Mapping[str, Any]], chosen: str
) -> None:
    if cluster_names is not None and len(cluster_names) != classes:
        raise UserError(f"cluster_names: {len(cluster_names)} names for {classes} clusters; one each is needed")
    if (found := [row["name"] for row in grid].count(chosen)) != 1:
        raise UserError(f"chosen = {chosen!r}: found {found} times in the grid; exactly 1 is needed")


def _write_predictions(path: Path, blocks: Iterable[PredictionRows]) -> int:
    count = 0
    with pq.ParquetWriter(path, PREDICTION_COLUMNS, compression="zstd") as writer:
        for block in blocks:
            pairs = zip(block, PREDICTION_COLUMNS.types, strict=True)
            writer.write_table(pa.table([pa.array(values, kind) for values, kind in pairs], schema=PREDICTION_COLUMNS))
            count += len(block[0])
    return count


def write_classifier(
    folder: Path,
    *,
    state: Mapping[str, Tensor],
    backbone: Mapping[str, Any],
    blocks: Sequence[tuple[str, int]],
    cluster_names: Sequence[str] | None,
    scaling: str,
    grid: Sequence[Mapping[str, Any]],
    chosen: str,
    predictions: Mapping[str, Iterable[PredictionRows]],
    made_by: Mapping[str, Any],
    grid_predictions: Mapping[str, NDArray[np.int32]] | None = None,
) -> None:
    """Write the artifact.

    Args:
        folder: Target folder.
        state: ``mean``, ``inverse_scale`` (D,), ``weight`` (C, D) and ``bias`` (C,).
        backbone: JSON facts with which the same features can be made of a new image: model, weights, image size, ...
        blocks: Names and widths of the feature blocks, in column order.
        cluster_names: Name of each cluster, or None.
        scaling: Name of the scaling.
        grid: One row of JSON values for each classifier of the grid, with a ``name``.
        chosen: Name of the chosen one.
        predictions: For each split, blocks of consecutive rows.
        made_by: Stage, parameters and seed.
        grid_predictions: For some of these splits, clusters by every classifier of the grid, (S, n).

    Raises:
        UserError: The tensors do not fit the blocks, the names not the clusters, or ``chosen`` is not in the grid.
        ValueError: Predictions of the grid are not (S, n).
    """
    every = dict(grid_predictions or {})
    classes = len(state["bias"])
    _check_state(state, blocks, classes, f"{folder}: classifier")
    _check_names(cluster_names, classes, grid, chosen)
    with new_folder(folder) as temporary:
        save_file({name: state[name].detach().cpu().float().contiguous() for name in TENSORS}, temporary / WEIGHTS)
        splits = {s: _write_predictions(temporary / f"{s}.parquet", rows) for s, rows in predictions.items()}
        for split, labels in every.items():
            if labels.shape != (len(grid), splits.get(split)):
                expected = f"({len(grid)}, {splits.get(split)})"
                raise ValueError(f"grid_predictions: {split}: expected shape {expected}, got {labels.shape}")
            np.save(temporary / _grid_file(split), labels.astype(np.int32))
        fields = {
            "backbone": dict(backbone),
            "blocks": [{"name": name, "columns": columns} for name, columns in blocks],
            "classes": classes,
            "cluster_names": None if cluster_names is None else list(cluster_names),
            "scaling": scaling,
            "grid": [dict(row) for row in grid],
            "chosen": chosen,
            "splits": splits,
            "grid_splits": list(every),
        }
        write_meta(temporary, KIND, SCHEMA, made_by, fields)


def open_classifier(folder: Path) -> Classifier:
    """Open the artifact; only its ``meta.json`` is read.

    Args:
        folder: The artifact's folder.

    Returns:
        The reader.

    Raises:
        MissingFileError: There is none in ``folder``.
        UserError: It is another artifact, of another version, or cut short.
    """
    meta = read_meta(folder, KIND, SCHEMA)
    names = meta["cluster_names"]
    return Classifier(
        folder=folder,
        backbone=meta["backbone"],
        blocks=tuple((block["name"], int(block["columns"])) for block in meta["blocks"]),
        classes=meta["classes"],
        cluster_names=None if names is None else tuple(names),
        scaling=meta["scaling"],
        grid=meta["grid"],
        chosen=meta["chosen"],
        splits=meta["splits"],
        grid_splits=tuple(meta.get("grid_splits", ())),
        made_by=meta["made_by"],
    )
