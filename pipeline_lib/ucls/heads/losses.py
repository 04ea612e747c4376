"""The losses of the multi-head classifier, on log-probabilities (thesis 5.1.1 and 5.2.7; SCAN, losses/losses.py).

Letters: H heads, B images, M neighbours an image, K classes. Everything stays in the log domain: products of
probabilities underflow float32 where student and teacher disagree, and the log of that zero has no gradient.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline_lib.base.runtime import all_reduce, mean_over_processes
from pipeline_lib.ucls.heads.settings import HeadSettings


@dataclass(frozen=True)
class Pairs:
    """What a loss gets: pairs of one batch in one direction, the student on one view and the teacher on the other.

    Attributes:
        log_student: Student log-probabilities of the image, (H, B, K).
        log_teacher: Teacher log-probabilities of the neighbour, (H, B, K).
        prior: Class prior after this batch's update, (H, K).
        weight: Instance weights, (B,); ``None`` weighs all pairs alike.
        cross_entropy: Factor of the cross-entropy term now (lambda of Eq. 5.12).
    """

    log_student: Tensor
    log_teacher: Tensor
    prior: Tensor
    weight: Tensor | None
    cross_entropy: float


def smoothed_neighbors(log_teacher: Tensor) -> Tensor:
    """Multiple-neighbours smoothing: the mean of the teacher's probabilities over the neighbours (thesis Eq. 5.13).

    Args:
        log_teacher: Log-probabilities of each neighbour, (H, B, M, K).

    Returns:
        Log of the mean probability, (H, B, K).
    """
    return log_teacher.logsumexp(dim=2) - math.log(log_teacher.shape[2])


@torch.no_grad()
def updated_prior(prior: Tensor, log_teacher: Tensor, momentum: float) -> Tensor:
    """The class prior: a moving average of the teacher's probabilities over the global batch (thesis Eq. 5.4).

    Args:
        prior: Class prior before, (H, K).
        log_teacher: Teacher log-probabilities of all views that count, (H, N, K); TEMI's code takes both views,
            the thesis' Eq. 5.4 as printed the neighbours only.
        momentum: Share of the old prior, in [0, 1).

    Returns:
        The new prior, (H, K).
    """
    totals = all_reduce(log_teacher.exp().sum(dim=1))  # (H, K)
    count = all_reduce(torch.tensor(float(log_teacher.shape[1]), device=log_teacher.device))
    return momentum * prior + (1 - momentum) * totals / count


def pointwise_mutual_information(log_student: Tensor, log_teacher: Tensor, prior: Tensor, beta: float) -> Tensor:
    """The pmi of an image with its neighbour, with the balancing exponent on the product (thesis Eq. 5.5).

    Args:
        log_student: Student log-probabilities of the image, (H, B, K).
        log_teacher: Teacher log-probabilities of the neighbour, (H, B, K).
        prior: Class prior, (H, K), each head sums to one.
        beta: Exponent; 1 gives thesis Eq. 5.3, smaller values spread the classes.

    Returns:
        The pmi, (H, B).
    """
    return (beta * (log_student + log_teacher) - prior.log()[:, None]).logsumexp(dim=-1)


def instance_weights(log_teacher: Tensor, log_teacher_neighbor: Tensor) -> Tensor:
    """How much the heads trust a pair: probability of one class for both, averaged over heads (Eq. 5.7 and 5.8).

    Args:
        log_teacher: Teacher log-probabilities of the image, (H, B, K).
        log_teacher_neighbor: Teacher log-probabilities of the neighbour, (H, B, K).

    Returns:
        Weights in [0, 1], (B,), shared by all heads.
    """
    return (log_teacher + log_teacher_neighbor).exp().sum(dim=-1).mean(dim=0)


def hard_cross_entropy(log_student: Tensor, log_teacher_neighbor: Tensor) -> Tensor:
    """Cross entropy with the teacher's class of the neighbour as pseudo-label (thesis Eq. 5.10 and 5.11).

    Args:
        log_student: Student log-probabilities of the image, (H, B, K).
        log_teacher_neighbor: Teacher log-probabilities of the neighbour, (H, B, K).

    Returns:
        The cross entropy, (H, B).
    """
    pseudo_label = log_teacher_neighbor.argmax(dim=-1, keepdim=True)  # (H, B, 1)
    return -log_student.gather(-1, pseudo_label).squeeze(-1)


def temi_loss(
    log_student: Tensor,
    log_teacher_neighbor: Tensor,
    prior: Tensor,
    weight: Tensor | None,
    beta: float,
    cross_entropy_weight: float = 0.0,
) -> Tensor:
    """One direction of the TEMI loss with the cross-entropy term (thesis Eq. 5.9 and 5.12).

    The instance weight multiplies both terms: Eq. 5.9 weighs the loss that Eq. 5.12 defines.

    Args:
        log_student: Student log-probabilities of the image, (H, B, K).
        log_teacher_neighbor: Teacher log-probabilities of the neighbour, (H, B, K).
        prior: Class prior after this batch's update, (H, K).
        weight: Instance weights, (B,); ``None`` weighs all pairs alike.
        beta: Exponent of the pmi.
        cross_entropy_weight: Factor of the cross-entropy term now (lambda of Eq. 5.12).

    Returns:
        Mean loss of each head, (H,).
    """
    loss = -pointwise_mutual_information(log_student, log_teacher_neighbor, prior, beta)  # (H, B)
    if cross_entropy_weight > 0:
        loss = loss + cross_entropy_weight * hard_cross_entropy(log_student, log_teacher_neighbor)
    if weight is not None:
        loss = weight * loss
    return loss.mean(dim=-1)


class _ClampedNegativeLog(torch.autograd.Function):
    """-log p from log p as binary cross entropy against ones computes it: capped at 100, gradient through p >= 1e-12.

    Beyond the cap the loss is constant; between p = 1e-12 and the cap the gradient fades with p. Both are part of
    SCAN's loss as published.
    """

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, log_p: Tensor) -> Tensor:
        ctx.save_for_backward(log_p)
        return (-log_p).clamp(max=100.0)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *grad_outputs: Tensor) -> Tensor:
        log_p: Tensor = ctx.saved_tensors[0]  # type: ignore[attr-defined]
        p = log_p.exp()
        return -grad_outputs[0] * p / p.clamp(min=1e-12)


def scan_consistency(log_anchor: Tensor, log_neighbor: Tensor) -> Tensor:
    """SCAN's consistency term: -log of the probability that both are of one class.

    Args:
        log_anchor: Log-probabilities of the image, (..., B, K).
        log_neighbor: Log-probabilities of the neighbour, (..., B, K).

    Returns:
        The term of each image, (..., B), at most 100.
    """
    clamped_negative_log: Callable[[Tensor], Tensor] = _ClampedNegativeLog.apply
    return clamped_negative_log((log_anchor + log_neighbor).logsumexp(dim=-1))


def scan_entropy(mean_probability: Tensor) -> Tensor:
    """Entropy of the mean class probabilities, in nats.

    Args:
        mean_probability: Mean of the images' probabilities over the batch, (..., K).

    Returns:
        The entropy, (...,).
    """
    clamped = mean_probability.clamp(min=1e-8)
    return -(clamped * clamped.log()).sum(dim=-1)


def scan_loss(
    log_anchor: Tensor,
    log_neighbor: Tensor,
    entropy_weight: float,
    weight: Tensor | None = None,
    cross_entropy_weight: float = 0.0,
) -> Tensor:
    """SCAN's clustering loss, with the thesis' instance weights and cross-entropy term on the pair (6.4.4.4).

    Args:
        log_anchor: Student log-probabilities of the image, (H, B, K).
        log_neighbor: Log-probabilities of the neighbour, (H, B, K).
        entropy_weight: Factor of the entropy (5 in SCAN's settings, 4 in the thesis).
        weight: Instance weights of the pair terms, (B,), or ``None``.
        cross_entropy_weight: Factor of the cross-entropy term now.

    Returns:
        Mean loss of each head, (H,).
    """
    pair = scan_consistency(log_anchor, log_neighbor)  # (H, B)
    if cross_entropy_weight > 0:
        pair = pair + cross_entropy_weight * hard_cross_entropy(log_anchor, log_neighbor)
    if weight is not None:
        pair = weight * pair
    return pair.mean(dim=-1) - entropy_weight * scan_entropy(mean_over_processes(log_anchor.exp().mean(dim=-2)))


def temi(pairs: Pairs, settings: HeadSettings) -> Tensor:
    """:func:`temi_loss` of pairs with the knobs of ``settings``, (H,)."""
    return temi_loss(
        pairs.log_student, pairs.log_teacher, pairs.prior, pairs.weight, settings.beta, pairs.cross_entropy
    )


def scan(pairs: Pairs, settings: HeadSettings) -> Tensor:
    """:func:`scan_loss` of pairs with the knobs of ``settings``, (H,)."""
    return scan_loss(
        pairs.log_student, pairs.log_teacher, settings.scan_entropy_weight, pairs.weight, pairs.cross_entropy
    )
