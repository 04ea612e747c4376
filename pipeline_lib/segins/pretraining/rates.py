"""Learning rates of pretraining."""

from __future__ import annotations

import math
from typing import Any

import torch


def cosine_rate(peak: float, epoch: int, epochs: int) -> float:
    """Rate of an epoch, peak · (1 + cos(π epoch / epochs)) / 2: it changes between epochs, as in both papers' code."""
    return peak * 0.5 * (1 + math.cos(math.pi * epoch / epochs))


def set_rates(optimizer: torch.optim.Optimizer, peak: float, epoch: int, epochs: int) -> None:
    """Set the rates of an epoch; groups that are ``constant`` keep the peak."""
    for group in optimizer.param_groups:
        group["lr"] = peak if group["constant"] else cosine_rate(peak, epoch, epochs)


def sgd(groups: list[dict[str, Any]], rate: float, momentum: float, weight_decay: float) -> torch.optim.SGD:
    """SGD of both papers: the same weight decay on all parameters."""
    return torch.optim.SGD(groups, lr=rate, momentum=momentum, weight_decay=weight_decay)
