"""Sinkhorn-Knopp normalisation of the teacher's outputs (thesis 5.2.4; DINOv2, loss/dino_clstoken_loss.py)."""

from __future__ import annotations

import torch
from torch import Tensor

from pipeline_lib.base.runtime import all_reduce


def _log(totals: Tensor) -> Tensor:
    """Logarithm of sums; one that is lost in rounding counts as the least positive number."""
    return totals.clamp(min=torch.finfo(totals.dtype).tiny).log()


def _log_class_totals(kernel: Tensor, log_factors: Tensor) -> Tensor:
    """Log of every class' total over the samples of all processes: kernel (..., B, K), (..., B, 1) -> (..., 1, K)."""
    largest = all_reduce(log_factors.amax(dim=-2, keepdim=True), "max")  # (..., 1, 1)
    return largest + _log(all_reduce((log_factors - largest).exp().mT @ kernel))


def _log_sample_totals(kernel: Tensor, log_factors: Tensor) -> Tensor:
    """Log of every sample's total over the classes: kernel (..., B, K), (..., 1, K) -> (..., B, 1)."""
    largest = log_factors.amax(dim=-1, keepdim=True)  # (..., 1, 1)
    return largest + _log(kernel @ (log_factors - largest).exp().mT)


@torch.no_grad()
def sinkhorn_knopp(
    logits: Tensor,
    temperature: float,
    iterations: int = 3,
    *,
    log_class_prior: Tensor | None = None,
    balance: float = 1.0,
) -> Tensor:
    """Log-probabilities whose classes are used as often within the batch as the class prior says.

    Each iteration scales every class to its share of the samples, then every sample to total one, so that the samples'
    rows are exact and the classes' totals approximate. Scales are logarithms: ``exp(logits / temperature)`` overflows
    float32 above 88.7. They are found on exp(scores) divided by the largest element of every sample and then of every
    class, where an iteration is two products with a vector; the result is made of the scores themselves.

    With ``balance`` below 1 the classes' totals are pulled towards the prior, not forced to it: the scaling of
    unbalanced optimal transport (Chizat et al. 2018), whose exponent ``balance`` is, on the classes' side only.

    Args:
        logits: Teacher logits, (..., B, K); leading axes (heads) are independent. With several processes, B is this
            process' share and the classes' totals are summed over all of them.
        temperature: Positive teacher temperature.
        iterations: Number of iterations; 0 gives the plain softmax.
        log_class_prior: Log of each class' share of the samples, (..., K); None for equal shares.
        balance: 1 forces the shares (Sinkhorn-Knopp), 0 leaves the plain softmax.

    Returns:
        Float32 (float64 for float64 input) log-probabilities, (..., B, K); each sample sums to one.
    """
    scores = logits.to(torch.promote_types(logits.dtype, torch.float32)) / temperature
    if iterations == 0:
        return scores.log_softmax(dim=-1)
    wanted = 0.0 if log_class_prior is None else log_class_prior[..., None, :]  # (..., 1, K)
    # scores = log(kernel) + sample_largest + class_largest
    sample_largest = scores.amax(dim=-1, keepdim=True)  # (..., B, 1)
    kernel = scores - sample_largest
    class_largest = all_reduce(kernel.amax(dim=-2, keepdim=True), "max")  # (..., 1, K)
    kernel = kernel.sub_(class_largest).exp_()
    sample_factor = sample_largest
    class_scale = torch.zeros_like(class_largest)
    for iteration in range(iterations):
        if iteration > 0:
            sample_factor = -_log_sample_totals(kernel, class_largest + class_scale)
        class_scale = balance * (wanted - class_largest - _log_class_totals(kernel, sample_factor))
    return (scores + class_scale).log_softmax(dim=-1)
