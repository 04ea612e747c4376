"""Sinkhorn-Knopp normalisation of the teacher's outputs (thesis 5.2.4; DINOv2, loss/dino_clstoken_loss.py)."""

from __future__ import annotations

import torch
from torch import Tensor

from pipeline_lib.runtime import all_reduce


def _logsumexp_over_samples(log_q: Tensor) -> Tensor:
    """Log-sum-exp over the samples of all processes: (..., B, K) -> (..., 1, K)."""
    largest = all_reduce(log_q.amax(dim=-2, keepdim=True), "max")  # (..., 1, K)
    return largest + all_reduce((log_q - largest).exp().sum(dim=-2, keepdim=True)).log()


@torch.no_grad()
def sinkhorn_knopp(logits: Tensor, temperature: float, iterations: int = 3) -> Tensor:
    """Log-probabilities whose classes are used about equally often within the batch.

    Each iteration scales every class to the same total over the samples, then every sample to total one, so that the
    samples' rows are exact and the classes' totals approximate. Works on logarithms: ``exp(logits / temperature)``
    overflows float32 above 88.7.

    Args:
        logits: Teacher logits, (..., B, K); leading axes (heads) are independent. With several processes, B is this
            process' share and the classes' totals are summed over all of them.
        temperature: Positive teacher temperature.
        iterations: Number of iterations; 0 gives the plain softmax.

    Returns:
        Float32 (float64 for float64 input) log-probabilities, (..., B, K); each sample sums to one.
    """
    dtype = torch.promote_types(logits.dtype, torch.float32)
    log_q = logits.to(dtype) / temperature
    if iterations == 0:
        return log_q.log_softmax(dim=-1)
    for _ in range(iterations):
        log_q = log_q - _logsumexp_over_samples(log_q)
        log_q = log_q - log_q.logsumexp(dim=-1, keepdim=True)
    return log_q
