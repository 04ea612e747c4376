"""Typed view of ``params.yaml``: unknown keys, wrong types and impossible values are refused in one line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline_lib.base.errors import MissingFileError, UserError
from pipeline_lib.base.settings import Settings
from pipeline_lib.images.scenes.settings import SceneSettings
from pipeline_lib.params.complaints import explained
from pipeline_lib.params.facts import Backbone, Dataset, GivenCheckpoint
from pipeline_lib.params.sections import (
    Assign,
    Bounds,
    Classes,
    Consensus,
    Evaluate,
    Extract,
    Features,
    Knn,
    Prepare,
    SegInsSuite,
    SelfTrain,
    Suite,
    TrainHeads,
)
from pipeline_lib.segins.masks.settings import MaskSettings
from pipeline_lib.segins.pretraining.settings import MocoSettings, PretrainSettings, SegInsSettings, SimSiamSettings
from pipeline_lib.segins.transfer.settings import DetectionSettings, LinearEvalSettings, SegmentationSettings

Section = TypeVar("Section", bound=BaseModel)


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
