"""The consensus of all heads: labels of every method and of the chosen one, their average NMI, and agreement.

``{split}.parquet`` has the columns ``id`` int64, one int32 column for each method that gave labels, ``consensus`` (the
chosen one's), ``agreement`` float32 (share of heads that agree) and, where the chosen method has one, ``confidence``
float32.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline_lib.artifacts.folder import new_folder, read_meta, write_meta
from pipeline_lib.base.errors import UserError

KIND = "consensus"
SCHEMA = 2
_ROW_GROUP = 1 << 17
_RESERVED = ("id", "consensus", "agreement", "confidence")


@dataclass(frozen=True)
class MethodScores:
    """What is recorded of a method on a split.

    Attributes:
        anmi: Average NMI with the heads (geometric mean); None where it gave no labels.
        clusters_used: Clusters with at least one image.
        note: How the labels came about, or None.
        skipped: Why it gave no labels, or None.
    """

    anmi: float | None
    clusters_used: int = 0
    note: str | None = None
    skipped: str | None = None


@dataclass(frozen=True)
class ConsensusSplit:
    """What is written of a split.

    Attributes:
        ids: Image ids, int64 (n,).
        labels: Labels of each method that gave some, int32 (n,).
        chosen: Name of the method whose labels count.
        scores: Every method that was asked for.
        agreement: Share of heads that agree with the chosen label, (n,).
        confidence: Confidence of the chosen method, (n,), or None.
    """

    ids: NDArray[np.int64]
    labels: Mapping[str, NDArray[np.int32]]
    chosen: str
    scores: Mapping[str, MethodScores]
    agreement: NDArray[np.float32]
    confidence: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Consensus:
    """An opened consensus artifact.

    Attributes:
        folder: Its folder.
        classes: Number of classes k; labels are below.
        chosen: Name of the chosen method of each split.
        splits: Images of each split.
        settings: How the methods worked, tool and version included.
    """

    folder: Path
    classes: int
    chosen: dict[str, str]
    splits: dict[str, int]
    settings: dict[str, Any]
    _scores: dict[str, dict[str, dict[str, Any]]] = field(repr=False)

    def _column(self, split: str, column: str) -> NDArray[Any]:
        self._check_split(split)
        return np.asarray(pq.read_table(self.folder / f"{split}.parquet", columns=[column]).column(column).to_numpy())

    def _check_split(self, split: str) -> None:
        if split not in self.splits:
            raise UserError(f"{self.folder}: no split {split!r}; it has {', '.join(self.splits)}")

    def ids(self, split: str) -> NDArray[np.int64]:
        """Image ids, int64 (n,)."""
        return self._column(split, "id")

    def labels(self, split: str, method: str | None = None) -> NDArray[np.int32]:
        """Labels of the chosen method or of another, int32 (n,), 0 to k − 1.

        Raises:
            UserError: No such split or method, or the method gave no labels; the message has its reason.
        """
        if method is None:
            return self._column(split, "consensus")
        known = self.scores(split)
        if method not in known:
            raise UserError(f"{self.folder}: no method {method!r}; it has {', '.join(known)}")
        if known[method].skipped is not None:
            raise UserError(f"{self.folder}: {method} gave no labels of {split}: {known[method].skipped}")
        return self._column(split, method)

    def agreement(self, split: str) -> NDArray[np.float32]:
        """Share of heads that agree with the chosen label of an image, float32 (n,) in [0, 1]."""
        return self._column(split, "agreement")

    def confidence(self, split: str) -> NDArray[np.float32] | None:
        """Confidence of the chosen method, float32 (n,); None where it has none."""
        self._check_split(split)
        names = pq.read_schema(self.folder / f"{split}.parquet").names
        return self._column(split, "confidence") if "confidence" in names else None

    def scores(self, split: str) -> dict[str, MethodScores]:
        """Average NMI of every method that was asked for, or why it gave no labels."""
        self._check_split(split)
        return {method: MethodScores(**values) for method, values in self._scores[split].items()}


def _check_column(name: str, split: str, values: NDArray[Any], count: int) -> None:
    if values.shape != (count,):
        raise UserError(f"consensus of {split}: expected {count} values of {name}, found {values.shape}")


def _check_split(split: str, content: ConsensusSplit, classes: int) -> None:
    count, chosen = len(content.ids), content.chosen
    if chosen not in content.labels:
        raise UserError(
            f"consensus of {split}: the chosen method {chosen} gave no labels; there are {list(content.labels)}"
        )
    for method, values in content.labels.items():
        _check_column(method, split, values, count)
        if method in _RESERVED or method not in content.scores or content.scores[method].skipped is not None:
            raise UserError(f"consensus of {split}: method {method} has labels but no scores")
        if count and not (values.min() >= 0 and values.max() < classes):
            raise UserError(
                f"consensus of {split}: {method} has labels {values.min()} to {values.max()}, k = {classes}"
            )
    for method, scores in content.scores.items():
        if method not in content.labels and not scores.skipped:
            raise UserError(f"consensus of {split}: method {method} has neither labels nor a reason")
        if method in content.labels and not math.isfinite(scores.anmi if scores.anmi is not None else math.nan):
            raise UserError(f"consensus of {split}: method {method} has labels but average NMI {scores.anmi}")
    for name in ("agreement", "confidence"):
        values = getattr(content, name)
        if values is not None:
            _check_column(name, split, values, count)


def _write_split(path: Path, content: ConsensusSplit) -> None:
    columns: list[tuple[str, Any, Any]] = [("id", pa.int64(), content.ids)]
    columns += [(method, pa.int32(), values) for method, values in content.labels.items()]
    columns += [
        ("consensus", pa.int32(), content.labels[content.chosen]),
        ("agreement", pa.float32(), content.agreement),
    ]
    if content.confidence is not None:
        columns.append(("confidence", pa.float32(), content.confidence))
    schema = pa.schema([(name, kind) for name, kind, _ in columns])
    table = pa.table([pa.array(values, type=kind) for _, kind, values in columns], schema=schema)
    pq.write_table(table, path, compression="zstd", row_group_size=_ROW_GROUP)


def write_consensus(
    folder: Path,
    *,
    splits: Mapping[str, ConsensusSplit],
    classes: int,
    settings: Mapping[str, Any],
    made_by: Mapping[str, Any],
) -> None:
    """Write the artifact.

    Args:
        folder: Target folder.
        splits: Labels and scores of each split.
        classes: Number of classes k.
        settings: How the methods worked: tool and version, imbalance, seed and so on; JSON values.
        made_by: Stage, parameters and seed.

    Raises:
        UserError: A column is of another length, a label is not below ``classes``, the chosen method has no labels, or
            a method has neither labels nor a reason.
    """
    for split, content in splits.items():
        _check_split(split, content, classes)
    with new_folder(folder) as temporary:
        for split, content in splits.items():
            _write_split(temporary / f"{split}.parquet", content)
        fields = {
            "classes": classes,
            "chosen": {split: content.chosen for split, content in splits.items()},
            "splits": {split: len(content.ids) for split, content in splits.items()},
            "settings": dict(settings),
            "scores": {
                split: {method: dict(vars(scores)) for method, scores in content.scores.items()}
                for split, content in splits.items()
            },
        }
        write_meta(temporary, KIND, SCHEMA, made_by, fields)


def open_consensus(folder: Path) -> Consensus:
    """Open the artifact.

    Raises:
        MissingFileError: There is none in ``folder``.
        UserError: It is another artifact, of another version, or cut short.
    """
    meta = read_meta(folder, KIND, SCHEMA)
    return Consensus(folder, meta["classes"], meta["chosen"], meta["splits"], meta["settings"], meta["scores"])
