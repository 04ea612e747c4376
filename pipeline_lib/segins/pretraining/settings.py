"""Settings of pretraining, whatever the method, and of the SegIns branch."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipeline_lib.base.settings import Count, Natural, PrecisionName, Settings
from pipeline_lib.segins.pretraining.methods import METHODS, MethodSettings

Scale = Annotated[tuple[Annotated[float, Field(gt=0, le=1)], Annotated[float, Field(gt=0, le=1)]], Field(strict=False)]


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
        batch_size: Images a step, over all processes and accumulated parts, of methods that have no batch of their own.
        precision: ``bfloat16`` runs convolutions and matrix products in it; ``auto`` takes it where the processor has
            instructions for it, else ``float32``.
        monitor_every: Epochs between two entries of the history: losses, spread of embeddings, k-NN accuracy.
        accumulate: Parts that a batch is worked off in.
        monitor_images: Training images that vote in the k-NN accuracy, and at most so many are scored.
    """

    architecture: Literal["resnet18", "resnet34", "resnet50"]
    global_size: Annotated[int, Field(ge=32)]
    global_scale: Scale
    local_crops: Natural
    local_size: Annotated[int, Field(ge=32)]
    local_scale: Scale
    epochs: Count
    batch_size: Annotated[int, Field(ge=2)]
    precision: PrecisionName
    monitor_every: Count
    accumulate: Count = 1
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

    def for_method(self, own: MethodSettings) -> PretrainSettings:
        """These settings with the batch of a method, where it has one of its own."""
        return self if own.batch_size is None else self.model_copy(update={"batch_size": own.batch_size})


class SegInsSettings(Settings):
    """The segmentation branch (thesis 3.2).

    Attributes:
        weight: λ of thesis Eq. 3.5, key ``lambda``; ``auto``: that of the method, 1 for SimSiam and 2 for MoCo-V2.
        loss: ``dice`` (thesis Eq. 3.4 as printed), ``smooth_dice`` (1 added to twice the overlap) or ``bce``.
        stage: Stage of the ResNet that the branch reads, in detectron2's naming (``res4``).
    """

    weight: Literal["auto"] | Annotated[float, Field(ge=0)] = Field(alias="lambda")
    loss: Literal["dice", "smooth_dice", "bce"]
    stage: Literal["res2", "res3", "res4", "res5"]

    def weight_for(self, method: str) -> float:
        """λ for a method: as given, or for ``auto`` the thesis' (below Eq. 3.5)."""
        return METHODS[method].branch_weight if self.weight == "auto" else self.weight
