"""Sections of ``params.yaml``: what is made, and the settings of the UCLS stages."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from pipeline_lib.base.settings import Count, DeviceName, Fraction, Names, PrecisionName, Seed, Settings
from pipeline_lib.ucls.bounds.settings import TurtleSettings
from pipeline_lib.ucls.heads.settings import HeadSettings


class Suite(Settings):
    """What plain ``dvc repro`` makes: every data set with every backbone."""

    data: Names
    backbone: Names


class SegInsSuite(Settings):
    """What plain ``dvc repro`` makes of the SegIns chain."""

    sets: Names
    data: Names
    target: Names
    method: Annotated[tuple[Literal["simsiam", "moco"], ...], Field(strict=False, min_length=1)]
    given: Names
    start: Names

    @model_validator(mode="after")
    def _names_fit(self) -> Self:
        for key, names, known in (
            ("data", self.data, self.sets),
            ("target", self.target, self.sets),
            ("start", self.start, (*self.given, *self.pretrained())),
        ):
            for name in names:
                if name not in known:
                    raise ValueError(f"{key} = {list(names)}: {name!r} is not one of {', '.join(known)}")
        return self

    def pretrained(self) -> tuple[str, ...]:
        """Names of the checkpoints that are trained here."""
        return tuple(f"{method}-{kind}" for method in self.method for kind in ("baseline", "segins"))


class Prepare(Settings):
    """Reading and checking the images."""

    unreadable: Literal["skip", "stop"]
    val_fraction: Fraction
    limit_per_split: Count | None
    workers: Count
    seed: Seed


class Extract(Settings):
    """Running the backbone over all images."""

    batch_size: Count
    workers: Annotated[int, Field(ge=0)]
    precision: PrecisionName
    storage: Literal["float16", "float32"]
    device: DeviceName


class Features(Settings):
    """Which feature blocks the neighbour search and the heads see (thesis 5.2.6)."""

    blocks: Literal["default"] | Names


class Classes(Settings):
    """Choice of the number of classes, for data sets with ``classes: auto``."""

    min: Annotated[int, Field(ge=2)]
    max: Literal["auto"] | Annotated[int, Field(ge=2)]
    sample: Count
    neighbors: Count
    restarts: Count
    seed: Seed

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if isinstance(self.max, int) and self.max < self.min:
            raise ValueError(f"max = {self.max}: must be at least min = {self.min}")
        return self


class Knn(Settings):
    """Neighbour search with the adaptive rule (thesis 5.2.5)."""

    threshold: Literal["auto"] | Annotated[float, Field(ge=-1, le=1)]
    shared_neighbors: Fraction
    components: Literal["auto"] | Count | None
    adaptive: bool
    k_min: Literal["auto"] | Count
    k_max: Literal["auto"] | Count
    centre: bool
    normalise_blocks: bool
    index: str
    threads: Count
    device: DeviceName
    query_rows: Count
    base_rows: Count
    seed: Seed

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if isinstance(self.k_min, int) and isinstance(self.k_max, int) and self.k_min > self.k_max:
            raise ValueError(f"k_max must be at least k_min = {self.k_min}")
        return self


class TrainHeads(HeadSettings):
    """Training of the multi-head classifier."""

    device: DeviceName
    features_in_memory_gb: Annotated[float, Field(ge=0)]
    checkpoint_seconds: Annotated[float, Field(ge=0)]


class Assign(Settings):
    """Assignments of every head for every split."""

    probabilities: Literal["best", "all", "mean"]
    batch_size: Count
    device: DeviceName


class Consensus(Settings):
    """Cluster ensembles over the heads (thesis 5.1.2)."""

    methods: Annotated[
        tuple[Literal["cspa", "hgpa", "mcla", "vote", "soft_vote"], ...], Field(strict=False, min_length=1)
    ]
    choose: Literal["auto", "cspa", "hgpa", "mcla", "vote", "soft_vote"]
    vertex_weight: Literal["unit", "size"]
    seed: Seed

    @model_validator(mode="after")
    def _choice_among_methods(self) -> Self:
        if len(set(self.methods)) < len(self.methods):
            raise ValueError(f"methods = {list(self.methods)}: none may stand there twice")
        if self.choose not in ("auto", *self.methods):
            raise ValueError(f"choose = {self.choose!r}: allowed: auto, {', '.join(self.methods)}")
        return self


class SelfTrain(Settings):
    """The linear classifier grid on the consensus labels (thesis 6.2)."""

    rates: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(strict=False, min_length=1)]
    iterations: Count
    batch_size: Count
    holdout_fraction: Fraction
    scaling: Literal["none", "global", "standardise"]
    weighting: Literal["none", "agreement"]
    device: DeviceName
    seed: Seed


class Bounds(Settings):
    """Rivals and bounds on the same features (thesis Table 6.5)."""

    kmeans_restarts: Count
    turtle: TurtleSettings
    knn_neighbors: Count
    true_neighbor_heads: Annotated[int, Field(ge=0)]
    true_neighbor_iterations: Count | None
    linear_probe: bool
    linear_probe_iterations: Count
    silhouette_sample: Annotated[int, Field(ge=2)]
    device: DeviceName
    seed: Seed

    def true_neighbor_training(self) -> dict[str, Any]:
        """What training on true neighbours changes in the settings of ``train_heads``: heads and, if given, length."""
        length = self.true_neighbor_iterations
        changes: dict[str, Any] = {"heads": self.true_neighbor_heads}
        return changes if length is None else changes | {"epochs": None, "iterations": length}


class Evaluate(Settings):
    """Final figures."""

    silhouette_sample: Annotated[int, Field(ge=2)]
    seed: Seed
