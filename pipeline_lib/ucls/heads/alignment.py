"""Heads that number their clusters alike: the codebook proposed in thesis chapter 7, so that heads can simply vote.

Two things keep class c of every head the same group of images. The heads' classes are matched with those of the first
head (Hungarian method) and renumbered after each epoch; and a cross-entropy term pulls every student towards the mean
of all teachers, which is the shared codebook entry of the image.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from pipeline_lib.base.contingency import contingency
from pipeline_lib.ucls.heads.model import MultiHeadClassifier


def alignment_loss(log_student: Tensor, log_teacher_neighbor: Tensor) -> Tensor:
    """Cross-entropy of every student with the mean of all heads' teacher probabilities of the neighbour.

    Args:
        log_student: Student log-probabilities of the image, (H, B, K).
        log_teacher_neighbor: Teacher log-probabilities of the neighbour, (H, B, K).

    Returns:
        Mean over the batch of each head, (H,).
    """
    log_mean = log_teacher_neighbor.logsumexp(dim=0) - math.log(len(log_teacher_neighbor))  # (B, K)
    return -(log_mean.exp() * log_student).sum(dim=-1).mean(dim=-1)


def meetings(log_teacher: Tensor) -> Tensor:
    """How often each class of each head meets each class of the first head.

    Args:
        log_teacher: Teacher log-probabilities of the same images, (H, B, K).

    Returns:
        Summed products of probabilities, (H, K, K): class of the head, class of the first head; at least float32, also
        where autocast is on: sums in bfloat16 would lose what a batch adds after some hundred images.
    """
    with torch.autocast(log_teacher.device.type, enabled=False):
        probability = log_teacher.to(torch.promote_types(log_teacher.dtype, torch.float32)).exp()
        return torch.einsum("hbk,bc->hkc", probability, probability[0])


def matching_order(met: Tensor) -> Tensor:
    """For each class of the first head the class of every head that meets it most, one to one.

    Args:
        met: What :func:`meetings` gave, summed over batches, (H, K, K).

    Returns:
        Class of each head for each class of the first, (H, K) int64; the first row counts up.
    """
    order = [linear_sum_assignment(table.T, maximize=True)[1] for table in met.cpu().double().numpy()]
    return torch.from_numpy(np.stack(order)).to(met.device)


def aligned_clusters(clusters: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """Renumber the clusters of every head to fit those of the first.

    Args:
        clusters: Cluster of each image for each head, (H, n) in [0, ``classes``).
        classes: Number of clusters K.

    Returns:
        The same groupings, (H, n).
    """
    tables = (contingency(head, clusters[0], classes, classes) for head in clusters)  # (K, K) each
    # All classes are matched, also those without a common image, so that the numbers stay apart.
    numbers = [linear_sum_assignment(table, maximize=True)[1] for table in tables]
    return np.stack([number[head] for number, head in zip(numbers, clusters, strict=True)]).astype(np.int64)


@torch.no_grad()
def renumber_classes(classifier: MultiHeadClassifier, order: Tensor, optimizer: torch.optim.Optimizer | None) -> None:
    """Put the classes of every head into another order, in place; outputs change their numbers and nothing else.

    Args:
        classifier: Student or teacher.
        order: Old class of each new class, (H, K).
        optimizer: Optimiser of the classifier, whose moments move along; None where there is none.
    """
    for parameter in (classifier.prototypes, classifier.prototype_length):
        moments = [] if optimizer is None else list(optimizer.state.get(parameter, {}).values())
        for tensor in (parameter, *(one for one in moments if torch.is_tensor(one) and one.shape == parameter.shape)):
            index = order if tensor.ndim == 2 else order[..., None].expand_as(tensor)
            tensor.copy_(tensor.gather(1, index))
