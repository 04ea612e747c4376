"""Typed view of ``params.yaml``: unknown keys, wrong types and impossible values are refused in one line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypedDict, TypeVar

from pydantic import BaseModel, Field, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline_lib.data.records import Labels, Subset
from pipeline_lib.data.scenes.settings import SceneSettings
from pipeline_lib.data.voc_splits import EvaluateOn, VocOptions, VocTask
from pipeline_lib.errors import MissingFileError, UserError
from pipeline_lib.heads.settings import HeadSettings
from pipeline_lib.masks.settings import MaskSettings
from pipeline_lib.params_complaints import explained
from pipeline_lib.pretraining.settings import MocoSettings, PretrainSettings, SegInsSettings, SimSiamSettings
from pipeline_lib.rivals.settings import TurtleSettings
from pipeline_lib.settings import Settings
from pipeline_lib.transfer.settings import DetectionSettings, LinearEvalSettings, SegmentationSettings

DeviceName = Literal["auto", "cpu", "cuda", "mps"]
PrecisionName = Literal["float32", "bfloat16"]
Section = TypeVar("Section", bound=BaseModel)
SourceKind = Literal[
    "digits",
    "cifar10",
    "cifar100",
    "cifar20",
    "stl10",
    "food101",
    "fashion_mnist",
    "tiny_imagenet",
    "parquet",
    "imagenet",
    "folder",
    "voc",
    "coco",
]
Seed = Annotated[int, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Channels = Annotated[tuple[float, float, float], Field(strict=False)]
Names = Annotated[tuple[str, ...], Field(strict=False, min_length=1)]


class Suite(Settings):
    """What plain ``dvc repro`` makes: every data set with every backbone."""

    data: Names
    backbone: Names


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


class GivenCheckpoint(Settings):
    """A ResNet that is not trained here: random weights, or a file."""

    source: Literal["random", "file"]
    path: str | None = None
    architecture: Literal["auto", "resnet18", "resnet34", "resnet50"] = "auto"

    @model_validator(mode="after")
    def _path_is_given(self) -> Self:
        if self.source == "file" and not self.path:
            raise ValueError("source = 'file' needs path")
        return self


_VOC_KEYS = ("years", "task", "evaluate_on")


class ReadingOptions(TypedDict):
    """Options of ``pipeline_lib.data.source.open_source``."""

    labels: Labels
    subset: Subset | None
    voc: VocOptions


class Dataset(Settings):
    """Facts of one data set; its files lie in ``data/raw/<name>``."""

    source: SourceKind
    classes: Literal["auto"] | Annotated[int, Field(ge=2)]
    subset: Subset | None = None
    labels: Labels = "auto"
    years: Annotated[tuple[int, ...], Field(strict=False, min_length=1)] | None = None
    task: VocTask = "detection"
    evaluate_on: EvaluateOn = "auto"

    def reading(self) -> ReadingOptions:
        """Options of ``pipeline_lib.data.source.open_source``."""
        voc = VocOptions(self.years, self.task, self.evaluate_on)
        return {"labels": self.labels, "subset": self.subset, "voc": voc}

    def recorded(self) -> dict[str, Any]:
        """What the artifacts made of the images record: how they were read, and nothing of other kinds of source."""
        return self.model_dump(exclude={"classes"} if self.source == "voc" else {"classes", *_VOC_KEYS})


class Weights(Settings):
    """Where a backbone's weights come from."""

    source: Literal["hub", "file", "package", "none"]
    path: str | None = None
    package: str | None = None

    @model_validator(mode="after")
    def _place_is_given(self) -> Self:
        if self.source in ("file", "package") and not getattr(self, "path" if self.source == "file" else "package"):
            key = "path" if self.source == "file" else "package"
            raise ValueError(f"source = {self.source!r} needs {key}")
        return self


class Backbone(Settings):
    """Facts of one backbone."""

    model: str
    weights: Weights
    image_size: Count | None = None
    crop_fraction: Annotated[float, Field(gt=0, le=1)] | None = None
    mean: Channels | None = None
    std: Channels | None = None
    blocks: Names | None = None
    last_blocks: Count = 4


class Params(Settings):
    """The whole of ``params.yaml``."""

    suite: Suite
    launcher: str
    prepare: Prepare
    extract: Extract
    features: Features
    classes: Classes
    knn: Knn
    train_heads: TrainHeads
    assign: Assign
    consensus: Consensus
    self_train: SelfTrain
    bounds: Bounds
    evaluate: Evaluate
    segins_suite: SegInsSuite
    scenes: SceneSettings
    pretrain: PretrainSettings
    simsiam: SimSiamSettings
    moco: MocoSettings
    segins: SegInsSettings
    masks: MaskSettings
    linear_eval: LinearEvalSettings
    detection: DetectionSettings
    segmentation: SegmentationSettings
    checkpoints: dict[str, GivenCheckpoint]
    datasets: dict[str, Dataset]
    backbones: dict[str, Backbone]


def _validated(model: type[Section], value: Any) -> Section:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise UserError(f"params.yaml: {explained(error.errors(), model)}") from None


def _check_names(params: Params) -> None:
    for key, chosen, known in (
        ("suite.data", params.suite.data, params.datasets),
        ("suite.backbone", params.suite.backbone, params.backbones),
        ("segins_suite.sets", params.segins_suite.sets, params.datasets),
        ("segins_suite.given", params.segins_suite.given, params.checkpoints),
    ):
        for name in chosen:
            if name not in known:
                raise UserError(f"params.yaml: {key} = {list(chosen)}: {name!r} is not one of {', '.join(known)}")


def _changed(raw: dict[str, Any], changes: Mapping[str, Any]) -> None:
    """Set values by their dotted keys; a section that is not there is made, for the check to refuse it by name."""
    for key, value in changes.items():
        *parents, last = key.split(".")
        section = raw
        for parent in parents:
            section = section.setdefault(parent, {})
            if not isinstance(section, dict):
                raise UserError(f"params.yaml: {key}: {parent} is a value, not a section")
        section[last] = value


def load_params(path: Path = Path("params.yaml"), changes: Mapping[str, Any] | None = None) -> Params:
    """Read and check ``params.yaml``.

    The file is read as YAML 1.2, as DVC does: ``1e-05`` is a number there and a string in YAML 1.1.

    Args:
        path: The file.
        changes: Values in place of those of the file, by dotted key such as ``knn.threshold``.

    Returns:
        The validated parameters.

    Raises:
        MissingFileError: The file is absent.
        UserError: A key is unknown, missing or has an impossible value; the message names it.
    """
    if not path.is_file():
        raise MissingFileError(f"{path}: not found; run from the folder that holds params.yaml")
    try:
        raw = YAML(typ="safe", pure=True).load(path.read_text())
    except YAMLError as error:
        raise UserError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(raw, dict):
        raise UserError(f"{path}: expected sections with keys, found {type(raw).__name__}")
    _changed(raw, changes or {})
    params = _validated(Params, raw)
    _check_names(params)
    return params
