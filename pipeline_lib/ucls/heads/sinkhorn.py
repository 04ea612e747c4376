"""Sinkhorn-Knopp normalisation of the teacher's outputs (thesis 5.2.4; DINOv2, loss/dino_clstoken_loss.py)."""

from __future__ import annotations

import torch
from torch import Tensor

from pipeline_lib.base.runtime import all_reduce


def _logsumexp_over_samples(log_q: Tensor) -> Tensor:
    """Log-sum-exp over the samples of all processes: (..., B, K) -> (..., 1, K)."""
    largest = all_reduce(log_q.amax(dim=-2, keepdim=True), "max")  # (..., 1, K)
    return largest + all_reduce((log_q - largest).exp().sum(dim=-2, keepdim=True)).log()


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
    rows are exact and the classes' totals approximate. Works on logarithms: ``exp(logits / temperature)`` overflows
    float32 above 88.7.

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
    scaled = scores
    sample_scale = torch.zeros_like(scores[..., :1])  # (..., B, 1)
    for _ in range(iterations):
        class_scale = balance * (wanted - _logsumexp_over_samples(scores + sample_scale))  # (..., 1, K)
        scaled = scores + class_scale
        sample_scale = -scaled.logsumexp(dim=-1, keepdim=True)
    return scaled + sample_scale
