"""The class prior: a moving average of the teacher's class probabilities (thesis Eq. 5.4)."""

from __future__ import annotations

import torch
from torch import Tensor

from pipeline_lib.base.runtime import all_reduce


@torch.no_grad()
def updated_prior(prior: Tensor, log_teacher: Tensor, momentum: float) -> Tensor:
    """Move the prior towards the mean teacher probability of the global batch.

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
