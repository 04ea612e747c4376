"""Settings of the multi-head classifier and its training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from pipeline_lib.base.registry import OneOf, Registry
from pipeline_lib.base.settings import Count, Natural, PrecisionName, Settings

Auto = Literal["auto"]
Probabilities = Literal["best", "all", "mean", "none"]
InputName = Literal["none", "standardise", "batch_norm"]

LOSSES: Registry[Callable[..., Any]] = Registry(
    "train_heads.loss",
    {
        "temi": "pipeline_lib.ucls.heads.losses:temi",
        "scan": "pipeline_lib.ucls.heads.losses:scan",
    },
)
"""Losses of the heads: from ``losses.Pairs`` and the settings, where their knobs are, to the loss of each head (H,)."""


class HeadSettings(Settings):
    """Everything that training the heads depends on; switching off every part leaves plain TEMI.

    Attributes:
        heads: Number of heads H (50 in the thesis).
        start: Where the prototypes start: ``random`` as in the thesis, at the clusters of ``spectral`` clustering, or
            ``auto``: spectral where its eigenvectors can be computed.
        components: Principal components of the features that the heads see; ``auto``: four a class, at least 64;
            ``null``: the features as they are (thesis).
        hidden: Width of a head's first layer.
        bottleneck: Width of a head's L2-normalised layer.
        input: What is done with the features before the heads: ``none``, ``standardise`` (mean 0 and variance 1 over
            the training images, an option of TEMI's code), or ``batch_norm``, a batch normalisation (thesis 5.2.3).
        loss: ``temi`` (thesis Eq. 5.5) or ``scan`` (thesis 6.4.4.4).
        beta: Exponent of the pmi (0.6; 0.55 for CIFAR-20).
        symmetric: Average both directions of a pair (TEMI) instead of one (thesis 5.2.7).
        instance_weights: Weigh pairs by the teacher's agreement (thesis Eq. 5.7).
        student_temperature: Temperature of the student's softmax.
        teacher_temperature: Temperature of the teacher (0.07 for CIFAR, 0.1 elsewhere).
        sinkhorn_iterations: Sinkhorn-Knopp iterations on the teacher (thesis 5.2.4); 0 switches it off.
        class_prior: Shares that Sinkhorn-Knopp gives the classes: ``uniform``, or ``estimated`` by a moving average of
            the teacher's plain softmax.
        balance: How strictly Sinkhorn-Knopp keeps to these shares, 0 to 1; below 1 it is relaxed.
        cross_entropy: Final factor of the cross-entropy term (thesis Eq. 5.12); 0 switches it off.
        alignment: Factor of the term that makes all heads number their clusters alike (thesis chapter 7); 0 switches it
            off.
        neighbors_per_image: Neighbours whose teacher outputs are averaged (thesis Eq. 5.13); 1 switches it off.
        prior_momentum: Momentum of the class prior (thesis Eq. 5.4).
        prior_views: ``both`` feeds it by image and neighbours (TEMI's code), ``neighbors`` by these alone (Eq. 5.4).
        teacher_momentum: Momentum of the teacher; ``auto`` fits its memory to the length of the training.
        epochs: Passes over the training images; ``null`` takes as many as ``iterations`` asks for.
        iterations: Length of the training where ``epochs`` is null, rounded up to whole epochs.
        batch_size: Pairs an iteration, over all processes.
        learning_rate: Peak rate for a batch of 256; multiplied by batch size / 256, as TEMI does.
        final_learning_rate: Rate at the end, scaled likewise.
        warmup: Share of the iterations with linearly growing rate (0.25 in the thesis).
        frozen_prototype_epochs: First epochs in which the prototypes do not move (1 in TEMI).
        weight_decay: AdamW's weight decay, on weight matrices and the prototypes' lengths (TEMI).
        precision: ``bfloat16`` runs the matrix products of the first two layers in it; the rest stays float32.
            ``auto`` takes it where the processor has instructions for it, else ``float32``.
        scan_entropy_weight: Entropy factor of the SCAN loss (4 in the thesis).
    """

    heads: Count
    start: Literal["auto", "random", "spectral"]
    components: Auto | Count | None
    hidden: Count
    bottleneck: Count
    input: Annotated[InputName, Field(json_schema_extra={"formerly": "batch_norm"})]
    loss: Annotated[str, OneOf(LOSSES)]
    beta: Annotated[float, Field(gt=0, le=1)]
    symmetric: bool
    instance_weights: bool
    student_temperature: Annotated[float, Field(gt=0)]
    teacher_temperature: Annotated[float, Field(gt=0)]
    sinkhorn_iterations: Natural
    class_prior: Literal["uniform", "estimated"]
    balance: Annotated[float, Field(ge=0, le=1)]
    cross_entropy: Annotated[float, Field(ge=0)]
    alignment: Annotated[float, Field(ge=0)]
    neighbors_per_image: Count
    prior_momentum: Annotated[float, Field(ge=0, lt=1)]
    prior_views: Literal["both", "neighbors"]
    teacher_momentum: Auto | Annotated[float, Field(ge=0, lt=1)]
    epochs: Count | None
    iterations: Count
    batch_size: Annotated[int, Field(ge=2)]
    learning_rate: Annotated[float, Field(gt=0)]
    final_learning_rate: Annotated[float, Field(ge=0)]
    warmup: Annotated[float, Field(ge=0, lt=1)]
    frozen_prototype_epochs: Natural
    weight_decay: Annotated[float, Field(ge=0)]
    precision: PrecisionName
    scan_entropy_weight: Annotated[float, Field(ge=0)] = 4.0

    @model_validator(mode="after")
    def _sinkhorn_is_on(self) -> Self:
        if self.sinkhorn_iterations == 0 and (self.class_prior != "uniform" or self.balance < 1):
            raise ValueError(
                f"class_prior = {self.class_prior!r} and balance = {self.balance} act through Sinkhorn-Knopp; "
                "sinkhorn_iterations must be at least 1"
            )
        return self

    @model_validator(mode="after")
    def _rates_in_order(self) -> Self:
        if self.final_learning_rate > self.learning_rate:
            raise ValueError(f"final_learning_rate must be at most learning_rate = {self.learning_rate}")
        return self


class AssignSettings(Settings):
    """Assignments of every head for every split.

    Attributes:
        probabilities: What is stored of the heads' probabilities: those of the ``best`` head, of ``all``, their
            ``mean``, which the consensus method ``soft_vote`` needs, or ``none``: no other stage reads them.
    """

    probabilities: Probabilities
