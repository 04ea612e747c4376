"""One batch of head training: from features of images and neighbours to the loss of every head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

import torch
from torch import Tensor, nn

from pipeline_lib.ucls.heads.alignment import alignment_loss, meetings
from pipeline_lib.ucls.heads.losses import Pairs, instance_weights, smoothed_neighbors, updated_prior
from pipeline_lib.ucls.heads.settings import LOSSES, HeadSettings
from pipeline_lib.ucls.heads.sinkhorn import sinkhorn_knopp

_SHARES_MOMENTUM = 0.99
"""Momentum of the estimated class shares: a single batch holds few images of a rare class."""


@dataclass(frozen=True)
class TermWeights:
    """Factors of the terms that grow during training, now.

    Attributes:
        cross_entropy: Factor of the cross-entropy term (thesis Eq. 5.12).
        alignment: Factor of the alignment term; heads that are pulled together before they have found classes merge
            them.
    """

    cross_entropy: float = 0.0
    alignment: float = 0.0


@dataclass
class Objective:
    """The training objective of thesis 5.2 with the class prior that it carries from batch to batch.

    Attributes:
        settings: What is switched on.
        prior: Class prior of the pmi, (H, K).
        class_shares: Moving average of the teacher's plain softmax, (H, K): the estimate of the true class shares.
        met: How often the heads' classes met those of the first head since it was last emptied, (H, K, K); None before
            the first batch and where heads are not aligned.
    """

    settings: HeadSettings
    prior: Tensor
    class_shares: Tensor
    met: Tensor | None = None

    @torch.no_grad()
    def teacher_targets(self, teacher: nn.Module, images: Tensor, neighbors: Tensor) -> tuple[Tensor, Tensor]:
        """Teacher log-probabilities, normalised over all views of the batch at once; moves the prior.

        Args:
            teacher: The teacher.
            images: Features, (B, D).
            neighbors: Features of the neighbours, (B, M, D).

        Returns:
            Log-probabilities of the images and, smoothed, of the neighbours, (H, B, K) each.
        """
        settings = self.settings
        batch, per_image = neighbors.shape[:2]
        logits: Tensor = teacher(torch.cat([images, neighbors.flatten(0, 1)]))  # (H, B + B*M, K)
        log_shares = None
        match settings.class_prior:
            case "uniform":
                pass
            case "estimated":
                plain = (logits / settings.teacher_temperature).log_softmax(dim=-1)
                self.class_shares = updated_prior(self.class_shares, plain, _SHARES_MOMENTUM)
                log_shares = self.class_shares.log()
            case _:
                assert_never(settings.class_prior)
        log_q = sinkhorn_knopp(
            logits,
            settings.teacher_temperature,
            settings.sinkhorn_iterations,
            log_class_prior=log_shares,
            balance=settings.balance,
        )
        log_images = log_q[:, :batch]
        log_neighbors = log_q[:, batch:]
        if per_image > 1:
            log_neighbors = smoothed_neighbors(log_neighbors.reshape(len(log_q), batch, per_image, -1))
        counted = {"neighbors": [log_neighbors], "both": [log_images, log_neighbors]}[settings.prior_views]
        self.prior = updated_prior(self.prior, torch.cat(counted, dim=1), settings.prior_momentum)
        return log_images, log_neighbors

    def direction(self, logits: Tensor, log_target: Tensor, weight: Tensor | None, terms: TermWeights) -> Tensor:
        """Loss of every head for one direction: the student on one view, the teacher on the other.

        Args:
            logits: Student logits, (H, B, K).
            log_target: Teacher log-probabilities of the other view, (H, B, K).
            weight: Instance weights, (B,), or ``None``.
            terms: Factors of the terms that grow.

        Returns:
            Mean loss of each head, (H,).
        """
        settings = self.settings
        log_student = (logits / settings.student_temperature).log_softmax(dim=-1)
        pairs = Pairs(log_student, log_target, self.prior, weight, terms.cross_entropy)
        loss: Tensor = LOSSES[settings.loss](pairs, settings)
        if terms.alignment > 0:
            loss = loss + terms.alignment * alignment_loss(log_student, log_target)
        return loss

    def head_losses(
        self, student: nn.Module, teacher: nn.Module, images: Tensor, neighbors: Tensor, terms: TermWeights
    ) -> Tensor:
        """Loss of every head on one batch.

        Args:
            student: The student; the only module that gets gradients.
            teacher: The teacher.
            images: Features, (B, D).
            neighbors: Features of M neighbours an image, (B, M, D).
            terms: Factors of the terms that grow.

        Returns:
            Mean loss of each head, (H,).
        """
        log_images, log_neighbors = self.teacher_targets(teacher, images, neighbors)
        if self.settings.alignment > 0:
            met = meetings(log_images)
            self.met = met if self.met is None else self.met + met
        weight = instance_weights(log_images, log_neighbors) if self.settings.instance_weights else None
        if not self.settings.symmetric:
            return self.direction(student(images), log_neighbors, weight, terms)
        # The student sees one neighbour; the teacher's smoothing over M serves the forward direction alone.
        logits: Tensor = student(torch.cat([images, neighbors[:, 0]]))
        forward, backward = logits.chunk(2, dim=1)
        there = self.direction(forward, log_neighbors, weight, terms)
        back = self.direction(backward, log_images, weight, terms)
        return (there + back) / 2
