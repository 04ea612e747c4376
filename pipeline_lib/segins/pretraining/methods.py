"""The pretraining methods by name: what each is called, its settings, and where its class is."""

from __future__ import annotations

from collections.abc import Callable, Set
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from pipeline_lib.base.registry import Registry, imported
from pipeline_lib.base.settings import Count, Settings


class MethodSettings(Settings):
    """What the settings of every method begin with.

    Attributes:
        learning_rate: Rate for a batch of 256.
        momentum: Momentum of SGD.
        weight_decay: Weight decay of SGD.
        batch_size: Images a step in place of ``pretrain.batch_size``, so that methods with other batches are trained
            side by side; null: that one.
    """

    learning_rate: Annotated[float, Field(gt=0)]
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    batch_size: Annotated[int, Field(ge=2)] | None = None

    @property
    def finished(self) -> str | None:
        """File of a finished pretraining to take instead of training one; methods without ``baseline`` have none."""
        return getattr(self, "baseline", None)


class SimSiamSettings(MethodSettings):
    """SimSiam (Chen and He, 2021).

    Attributes:
        projector: Width of the projector's three layers (2048).
        predictor: Width of the predictor's hidden layer (512).
        zero_init_residual: Start every residual block as the identity (true), as the last normalisation's scale of 0
            makes it. A training of some thousand steps hardly leaves that: the blocks stay unused, and a detector
            learns slower from such weights than from random ones.
        baseline: File of a finished pretraining to take instead of training one, or null.
    """

    projector: Count
    predictor: Count
    zero_init_residual: bool
    baseline: str | None


class MocoSettings(MethodSettings):
    """MoCo-V2 (Chen et al., 2020).

    Attributes:
        dimension: Length of an embedding (128).
        queue: Keys in the queue (65,536); a multiple of the batch size.
        queue_start: What the queue holds at the first step: ``random`` unit vectors, as in the reference, or keys of
            training ``images``. Random vectors are told from keys by their direction alone: as long as they are in the
            queue the loss falls fastest where all images share one direction, and a short training at a high rate
            does not leave that collapse again.
        key_momentum: Momentum of the key encoder (0.999).
        temperature: Temperature of InfoNCE (0.2).
        splits: Groups of a batch with batch statistics of their own, over all processes; on one device they stand for
            the devices of shuffle-BN.
        baseline: File of a finished pretraining to take instead of training one, or null.
    """

    dimension: Count = 128
    queue: Count
    queue_start: Literal["random", "images"]
    key_momentum: Annotated[float, Field(ge=0, lt=1)]
    temperature: Annotated[float, Field(gt=0)] = 0.2
    splits: Count
    baseline: str | None


@dataclass(frozen=True)
class PretrainingMethod:
    """A pretraining method.

    Attributes:
        title: What tables call it.
        settings: Class of its settings, the section of its name in params.yaml.
        branch_weight: λ of the segmentation branch where ``segins.lambda`` is ``auto`` (thesis, below Eq. 3.5).
        path: Where its class is.
        made_projector: Whether it has trained a projector with these weights, by their names (``0.weight``); None
            where files of its finished pretrainings are not known.
    """

    title: str
    settings: type[MethodSettings]
    branch_weight: float
    path: str
    made_projector: Callable[[Set[str]], bool] | None = None

    @property
    def method(self) -> Any:
        """Its class, a :class:`~pipeline_lib.segins.pretraining.method.Method`."""
        return imported(self.path)


def _is_normalised(names: Set[str]) -> bool:
    return {"1.running_mean", "4.running_mean"} <= names


def _has_two_linear_layers(names: Set[str]) -> bool:
    return {name.partition(".")[0] for name in names} == {"0", "2"}


METHODS: Registry[PretrainingMethod] = Registry(
    "pretraining method",
    {
        "simsiam": PretrainingMethod(
            "SimSiam", SimSiamSettings, 1.0, "pipeline_lib.segins.pretraining.simsiam:SimSiam", _is_normalised
        ),
        "moco": PretrainingMethod(
            "MoCo-V2", MocoSettings, 2.0, "pipeline_lib.segins.pretraining.moco:MoCo", _has_two_linear_layers
        ),
    },
)
