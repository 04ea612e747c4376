"""Settings of pretraining: views, optimisation, the two methods, and the SegIns branch."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipeline_lib.base.settings import Settings

Scale = Annotated[tuple[Annotated[float, Field(gt=0, le=1)], Annotated[float, Field(gt=0, le=1)]], Field(strict=False)]
Positive = Annotated[int, Field(ge=1)]


class PretrainSettings(Settings):
    """What both pretrainings share.

    Attributes:
        architecture: ResNet in torchvision's naming (``resnet50`` in the thesis).
        global_size: Side of the two global crops, pixels (224).
        global_scale: Their area as a share of the image, lowest and highest.
        local_crops: Number of local crops; 0 is the two-crop setting, 4 the thesis' multi-crop.
        local_size: Side of the local crops, pixels (96).
        local_scale: Their area as a share of the image.
        epochs: Passes over the training images (500 in the thesis).
        batch_size: Images a step, over all processes and accumulated parts.
        precision: ``bfloat16`` runs convolutions and matrix products in it.
        monitor_every: Epochs between two entries of the history: losses, spread of embeddings, k-NN accuracy.
        accumulate: Parts that a batch is worked off in.
        monitor_images: Training images that vote in the k-NN accuracy, and at most so many are scored.
    """

    architecture: Literal["resnet18", "resnet34", "resnet50"]
    global_size: Annotated[int, Field(ge=32)]
    global_scale: Scale
    local_crops: Annotated[int, Field(ge=0)]
    local_size: Annotated[int, Field(ge=32)]
    local_scale: Scale
    epochs: Positive
    batch_size: Annotated[int, Field(ge=2)]
    precision: Literal["float32", "bfloat16"]
    monitor_every: Positive
    accumulate: Positive = 1
    monitor_images: Annotated[int, Field(ge=2)] = 500

    @model_validator(mode="after")
    def _possible(self) -> Self:
        for name in ("global_scale", "local_scale"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name} = {[low, high]}: the first must not be above the second")
        if self.batch_size % self.accumulate:
            raise ValueError(f"batch_size = {self.batch_size}: must be a multiple of accumulate = {self.accumulate}")
        return self


class SimSiamSettings(Settings):
    """SimSiam (Chen and He, 2021).

    Attributes:
        learning_rate: Rate for a batch of 256.
        momentum: Momentum of SGD.
        weight_decay: Weight decay of SGD.
        projector: Width of the projector's three layers (2048).
        predictor: Width of the predictor's hidden layer (512).
        zero_init_residual: Start every residual block as the identity (true), as the last normalisation's scale of 0
            makes it. A training of some thousand steps hardly leaves that: the blocks stay unused, and a detector
            learns slower from such weights than from random ones.
        baseline: File of a finished pretraining to take instead of training one, or null.
    """

    learning_rate: Annotated[float, Field(gt=0)]
    projector: Positive
    predictor: Positive
    zero_init_residual: bool
    baseline: str | None
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4


class MocoSettings(Settings):
    """MoCo-V2 (Chen et al., 2020).

    Attributes:
        learning_rate: Rate for a batch of 256.
        momentum: Momentum of SGD.
        weight_decay: Weight decay of SGD.
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

    learning_rate: Annotated[float, Field(gt=0)]
    queue: Positive
    queue_start: Literal["random", "images"]
    key_momentum: Annotated[float, Field(ge=0, lt=1)]
    splits: Positive
    baseline: str | None
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    dimension: Positive = 128
    temperature: Annotated[float, Field(gt=0)] = 0.2


class SegInsSettings(Settings):
    """The segmentation branch (thesis 3.2).

    Attributes:
        weight: λ of thesis Eq. 3.5, key ``lambda``; ``auto``: 1 for SimSiam, 2 for MoCo-V2.
        loss: ``dice`` (thesis Eq. 3.4 as printed), ``smooth_dice`` (1 added to twice the overlap) or ``bce``.
        stage: Stage of the ResNet that the branch reads, in detectron2's naming (``res4``).
    """

    weight: Literal["auto"] | Annotated[float, Field(ge=0)] = Field(alias="lambda")
    loss: Literal["dice", "smooth_dice", "bce"]
    stage: Literal["res2", "res3", "res4", "res5"]

    def weight_for(self, method: Literal["simsiam", "moco"]) -> float:
        """λ for a method: as given, or for ``auto`` the thesis' (below Eq. 3.5)."""
        if self.weight != "auto":
            return self.weight
        return 1.0 if method == "simsiam" else 2.0
