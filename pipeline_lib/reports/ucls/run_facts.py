"""What goes into the report of a run, as plain arrays and values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline_lib.base.errors import UserError
from pipeline_lib.features.blocks import FeatureBlocks
from pipeline_lib.reports.ucls.confusion import Confusion, oracle_confusion


@dataclass(frozen=True)
class OracleLabels:
    """True labels, for evaluation only.

    Attributes:
        labels: Class of each image of the split, (n,), −1 where unknown.
        class_names: Name of each class, by its number; None where classes have numbers only.
    """

    labels: NDArray[np.int32]
    class_names: tuple[str, ...] | None

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each class, or its number as text."""
        numbers = tuple(str(number) for number in range(int(self.labels.max()) + 1))
        return numbers if self.class_names is None else self.class_names

    def name_of(self, row: int) -> str | None:
        """Class name of an image, or None where unknown."""
        return self.names[self.labels[row]] if self.labels[row] >= 0 else None


@dataclass(frozen=True)
class RunFacts:
    """A run, as its report shows it; n images of one split, K clusters, H heads, E epochs.

    Attributes:
        data: Name of the data set.
        backbone: Name of the backbone.
        split: Name of the split that is shown.
        measures: Metrics by name.
        clusters: Cluster of each image (‡), (n,).
        probability: Probability of that cluster, (n,).
        agreement: Share of heads that agree on the image, (n,).
        count: Number of clusters K.
        cluster_names: Name of each cluster, (K,), or None.
        history: One row an epoch with ``epoch``, ``head_loss`` (H values) and ``prior_entropy``.
        best_head: Head with the lowest loss.
        list_lengths: Length of each training image's neighbour list.
        threshold: Cosine similarity from which an image is a neighbour.
        oracle_neighbor_accuracy: Lists over bins of similarity, see ``neighbor_panels``; None without labels.
        features: Features of the split for the map, (n, d).
        image_name: What to call the image of a row.
        read: Gives the decoded image of a row.
        oracle: True labels of the split, or None.
        origins: ``made_by`` of each artifact of the run, by its kind, in the order of the pipeline.
    """

    data: str
    backbone: str
    split: str
    measures: Mapping[str, Any]
    clusters: NDArray[np.int32]
    probability: NDArray[np.float32]
    agreement: NDArray[np.float32]
    count: int
    cluster_names: Sequence[str] | None
    history: Sequence[Mapping[str, Any]]
    best_head: int
    list_lengths: NDArray[np.int64]
    threshold: float
    oracle_neighbor_accuracy: Mapping[str, Sequence[Any]] | None
    features: FeatureBlocks
    image_name: Callable[[int], str]
    read: Callable[[int], Image.Image]
    oracle: OracleLabels | None
    origins: Mapping[str, Mapping[str, Any]]

    def __post_init__(self) -> None:
        """Refuse arrays of different length.

        Raises:
            UserError: One of them is not for the n images of ``clusters``.
        """
        count = len(self.clusters)
        lengths = {"probability": len(self.probability), "agreement": len(self.agreement)}
        lengths["features"] = self.features.count
        if self.oracle is not None:
            lengths["labels"] = len(self.oracle.labels)
        for name, length in lengths.items():
            if length != count:
                raise UserError(f"report of {self.run}: {length} rows of {name} for {count} images; run dvc repro")

    @property
    def run(self) -> str:
        """Name of the run."""
        return f"{self.data}-{self.backbone}"

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """Images of each cluster, (K,)."""
        return np.bincount(self.clusters, minlength=self.count)

    @cached_property
    def oracle_confusion(self) -> Confusion | None:
        """Counts of classes and clusters, or None without labels."""
        if self.oracle is None:
            return None
        return oracle_confusion(self.oracle.labels, self.clusters, len(self.oracle.names), self.count)

    def cluster_title(self, cluster: int) -> str:
        """Its name where it has one, else its number."""
        return f"cluster {cluster}" if self.cluster_names is None else f"{cluster}: {self.cluster_names[cluster]}"
