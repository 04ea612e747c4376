"""Typed view of ``params.yaml``: unknown keys, wrong types and impossible values are refused in one line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError, create_model, model_validator
from ruamel.yaml.error import YAMLError

from pipeline_lib.backbones.settings import BackboneSettings, ExtractSettings
from pipeline_lib.base.errors import MissingFileError, UserError
from pipeline_lib.base.machine import MachineSettings
from pipeline_lib.base.settings import Settings
from pipeline_lib.base.yaml_files import parsed_yaml
from pipeline_lib.features.settings import FeatureSettings
from pipeline_lib.images.scenes.settings import SceneSettings
from pipeline_lib.images.settings import PrepareSettings
from pipeline_lib.images.sources.settings import DatasetFacts
from pipeline_lib.params.complaints import explained
from pipeline_lib.params.suites import SegInsSuite, Suite
from pipeline_lib.segins.masks.settings import MaskSettings
from pipeline_lib.segins.pretraining.methods import METHODS, MethodSettings
from pipeline_lib.segins.pretraining.settings import PretrainSettings, SegInsSettings
from pipeline_lib.segins.resnet.settings import GivenCheckpoint
from pipeline_lib.segins.transfer.settings import (
    DenseProbeSettings,
    DetectionSettings,
    LinearEvalSettings,
    SegmentationSettings,
)
from pipeline_lib.ucls.bounds.settings import BoundsSettings
from pipeline_lib.ucls.class_count.settings import ClassCountSettings
from pipeline_lib.ucls.consensus.settings import ConsensusSettings
from pipeline_lib.ucls.heads.settings import AssignSettings, HeadSettings
from pipeline_lib.ucls.neighbors.settings import NeighborSettings
from pipeline_lib.ucls.probe.settings import SelfTrainSettings

Section = TypeVar("Section", bound=BaseModel)


class Sections(Settings):
    """The whole of ``params.yaml`` but for the sections of the pretraining methods.

    Each section is declared in the folder where it acts.

    Attributes:
        launcher: Command that starts the stages whose work is spread over processes: ``python``, or for example
            ``torchrun --standalone --nproc-per-node=2``.
    """

    suite: Suite
    segins_suite: SegInsSuite
    launcher: str
    machine: MachineSettings
    prepare: PrepareSettings
    extract: ExtractSettings
    features: FeatureSettings
    classes: ClassCountSettings
    knn: NeighborSettings
    train_heads: HeadSettings
    assign: AssignSettings
    consensus: ConsensusSettings
    self_train: SelfTrainSettings
    bounds: BoundsSettings
    scenes: SceneSettings
    pretrain: PretrainSettings
    segins: SegInsSettings
    masks: MaskSettings
    linear_eval: LinearEvalSettings
    detection: DetectionSettings
    segmentation: SegmentationSettings
    dense_probe: DenseProbeSettings
    checkpoints: dict[str, GivenCheckpoint]
    datasets: dict[str, DatasetFacts]
    backbones: dict[str, BackboneSettings]

    @model_validator(mode="before")
    @classmethod
    def _backbones_know_their_keys(cls, values: Any) -> Any:
        backbones = values.get("backbones") if isinstance(values, dict) else None
        if not isinstance(backbones, dict):
            return values
        for key, facts in backbones.items():
            if isinstance(facts, dict) and facts.get("name", key) != key:
                raise ValueError(f"backbones.{key}.name = {facts['name']!r}: the key is the name; leave it out")
        named = {key: {**facts, "name": key} if isinstance(facts, dict) else facts for key, facts in backbones.items()}
        return {**values, "backbones": named}

    def method_settings(self, method: str) -> MethodSettings:
        """Section of a pretraining method.

        Raises:
            UserError: There is no such method.
        """
        section = getattr(self, method, None)
        if not isinstance(section, METHODS[method].settings):
            raise TypeError(f"{method}: not the section of a pretraining method")
        return section


if TYPE_CHECKING:

    class Params(Sections):
        """The whole of ``params.yaml``."""
else:
    Params = create_model(
        "Params",
        __base__=Sections,
        __doc__="The whole of ``params.yaml``.",
        **{name: (method.settings, ...) for name, method in METHODS.items()},
    )


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


def _check_batches(params: Params) -> None:
    parts = params.pretrain.accumulate
    for method in METHODS:
        batch = params.method_settings(method).batch_size
        if batch is not None and batch % parts:
            raise UserError(
                f"params.yaml: {method}.batch_size = {batch}: must be a multiple of pretrain.accumulate = {parts}"
            )


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
        raw = parsed_yaml(path.read_text())
    except YAMLError as error:
        raise UserError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(raw, dict):
        raise UserError(f"{path}: expected sections with keys, found {type(raw).__name__}")
    _changed(raw, changes or {})
    params = _validated(Params, raw)
    _check_names(params)
    _check_batches(params)
    return params
