"""Losses of instance discrimination and of the segmentation branch (thesis Eq. 3.1 to 3.5)."""

from __future__ import annotations

from typing import Literal, assert_never

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from pipeline_lib.base.runtime import all_reduce, is_distributed

SegmentationLoss = Literal["dice", "smooth_dice", "bce"]


def negative_cosine(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean of -cos(p, z) over the batch, without gradient to z (thesis Eq. 3.1; SimSiam, Eq. 1 and 3).

    Args:
        prediction: Outputs of the predictor, float (N, D).
        target: Outputs of the projector for the other view, float (N, D).

    Returns:
        Scalar in [-1, 1].
    """
    return -F.cosine_similarity(prediction, target.detach(), dim=1, eps=1e-8).mean()


def simsiam_loss(prediction_1: Tensor, prediction_2: Tensor, target_1: Tensor, target_2: Tensor) -> Tensor:
    """Symmetric loss of a pair of views, the thesis' Eq. 3.2: scalar in [-1, 1]; arguments float (N, D)."""
    return (negative_cosine(prediction_1, target_2) + negative_cosine(prediction_2, target_1)) / 2


def info_nce_logits(queries: Tensor, keys: Tensor, queue: Tensor, temperature: float) -> Tensor:
    """Similarities that InfoNCE compares, the positive in column 0.

    Args:
        queries: Unit vectors, float (N, D).
        keys: Unit vectors of the same images, float (N, D).
        queue: Negatives, one unit vector a column, float (D, K).
        temperature: τ.

    Returns:
        Float (N, 1 + K).
    """
    positive = (queries * keys).sum(dim=1, keepdim=True)  # (N, 1)
    return torch.cat([positive, queries @ queue], dim=1) / temperature


def info_nce(queries: Tensor, keys: Tensor, queue: Tensor, temperature: float) -> Tensor:
    """InfoNCE of MoCo, thesis Eq. 3.3 with its index 0 read as the positive.

    The positive is in the denominator too, which so has 1 + K terms.

    Args:
        queries: Unit vectors, float (N, D).
        keys: Unit vectors of the same images, float (N, D), without gradient.
        queue: Negatives, one unit vector a column, float (D, K).
        temperature: τ.

    Returns:
        Mean over the batch, scalar.
    """
    logits = info_nce_logits(queries, keys, queue, temperature)
    return F.cross_entropy(logits, logits.new_zeros(len(logits)).long())


def global_sum(local: Tensor) -> Tensor:
    """Sum over all processes, with the gradient of a loss that averaging gradients over processes gives back."""
    if not is_distributed():
        return local
    # DDP divides gradients by the number of processes; the sum's own gradient has no such factor.
    scaled = local * dist.get_world_size()
    return scaled + (all_reduce(local) - scaled).detach()


def dice(probability: Tensor, mask: Tensor) -> Tensor:
    """Dice loss as the thesis prints it (Eq. 3.4): 1 - 2 (ΣpM + 1) / (Σp + ΣM + 1), sums over the whole batch.

    The factor 2 stands before the 1 as well, so that a perfect prediction gives slightly less than 0, and an empty
    one of an empty mask -1. Sums run over all pixels of all images, of all processes.

    Args:
        probability: Predicted masks, float (N, 1, h, w) in [0, 1].
        mask: Pseudo-masks, float (N, 1, h, w), 0 or 1.

    Returns:
        Scalar in [-1, 1).
    """
    overlap, predicted, true = _sums(probability, mask)
    return 1 - 2 * (overlap + 1) / (predicted + true + 1)


def smooth_dice(probability: Tensor, mask: Tensor) -> Tensor:
    """Dice loss in its usual smoothed form, 1 - (2 ΣpM + 1) / (Σp + ΣM + 1): in [0, 1); arguments as :func:`dice`."""
    overlap, predicted, true = _sums(probability, mask)
    return 1 - (2 * overlap + 1) / (predicted + true + 1)


def _sums(probability: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return global_sum((probability * mask).sum()), global_sum(probability.sum()), global_sum(mask.sum())


def segmentation_loss(logits: Tensor, mask: Tensor, kind: SegmentationLoss) -> Tensor:
    """Loss of one view's predicted masks.

    Args:
        logits: Before the sigmoid, float (N, 1, h, w).
        mask: Pseudo-masks, float (N, 1, h, w), 0 or 1.
        kind: ``dice`` (Eq. 3.4), ``smooth_dice``, or ``bce``, the mean cross entropy of the pixels.

    Returns:
        Scalar.
    """
    match kind:
        case "dice":
            return dice(logits.sigmoid(), mask)
        case "smooth_dice":
            return smooth_dice(logits.sigmoid(), mask)
        case "bce":
            return F.binary_cross_entropy_with_logits(logits, mask)
        case _:
            assert_never(kind)


def total_loss(identity: Tensor, segmentation: Tensor, weight: float) -> Tensor:
    """L_id + λ L_seg (thesis Eq. 3.5)."""
    return identity + weight * segmentation


@torch.no_grad()
def embedding_spread(embeddings: Tensor) -> Tensor:
    """Mean standard deviation of the unit embeddings' components, times the root of their number (SimSiam, 4.1).

    Args:
        embeddings: Float (N, D).

    Returns:
        Scalar: 0 where all point the same way, about 1 where they point in all directions evenly.
    """
    unit = F.normalize(embeddings, dim=1)
    spread: Tensor = unit.std(dim=0, correction=0).mean() * embeddings.shape[1] ** 0.5
    return spread
