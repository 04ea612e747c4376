"""TEMI's training loop as its paper and the thesis describe it (5.1.1), to measure against: one module a head.

Every head is a module of its own, and heads, losses and moving averages are gone through one after the other. Teacher
and student see both images of a pair, and the loss is the mean of both directions. Nothing here is used elsewhere.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

PRIOR_MOMENTUM = 0.9


class ReferenceHead(nn.Module):
    """Linear, GELU, linear, L2 normalisation, prototypes with a learned length.

    Args:
        features: Feature dimension D.
        hidden: Width of the first layer.
        bottleneck: Width of the normalised layer.
        classes: Number of classes K.
    """

    def __init__(self, features: int, hidden: int, bottleneck: int, classes: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(features, hidden)
        self.bottleneck = nn.Linear(hidden, bottleneck)
        self.prototypes = nn.Linear(bottleneck, classes, bias=False)
        for layer in (self.hidden, self.bottleneck):
            nn.init.trunc_normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)
        self.prototype_length = nn.Parameter(torch.ones(classes, 1))

    def forward(self, features: Tensor) -> Tensor:
        """Logits (B, K) of features (B, D)."""
        code = functional.normalize(self.bottleneck(functional.gelu(self.hidden(features))), dim=-1)
        return functional.linear(code, self.prototype_length * functional.normalize(self.prototypes.weight, dim=-1))


def mutual_information_loss(student: Tensor, teacher: Tensor, prior: Tensor, weight: Tensor, beta: float) -> Tensor:
    """Weighted mean of minus the pointwise mutual information of one direction and head (thesis Eq. 5.5 and 5.9).

    Args:
        student: Probabilities of one view, (B, K).
        teacher: Probabilities of the other, (B, K).
        prior: Class prior, (K,).
        weight: Instance weights, (B,).
        beta: Exponent of the product.

    Returns:
        A scalar.
    """
    pmi = ((student * teacher) ** beta / prior).sum(dim=-1).log()
    return -(weight * pmi).mean()


@dataclass
class ReferenceTrainer:
    """The loop.

    Attributes:
        heads: The student's heads.
        learning_rate: Rate of AdamW.
        weight_decay: Of matrices and lengths; biases have none.
        beta: Exponent of the pmi.
        temperature: Of student and teacher.
        teacher_momentum: Share of the old teacher in every step.
        bfloat16: Whether products are computed in bfloat16 (autocast).
        teacher: The teacher's heads.
        priors: Class prior of each head, (K,).
    """

    heads: Sequence[ReferenceHead]
    learning_rate: float
    weight_decay: float = 1e-4
    beta: float = 0.6
    temperature: float = 0.1
    teacher_momentum: float = 0.996
    bfloat16: bool = False
    teacher: list[ReferenceHead] = field(init=False)
    priors: list[Tensor] = field(init=False)
    optimizer: torch.optim.Optimizer = field(init=False)

    def __post_init__(self) -> None:
        self.teacher = [copy.deepcopy(head).requires_grad_(False) for head in self.heads]
        classes = len(self.heads[0].prototypes.weight)
        like = self.heads[0].prototypes.weight
        self.priors = [torch.full((classes,), 1 / classes, device=like.device, dtype=like.dtype) for _ in self.heads]
        parameters = [parameter for head in self.heads for parameter in head.parameters()]
        groups = [
            {"params": [one for one in parameters if one.ndim > 1], "weight_decay": self.weight_decay},
            {"params": [one for one in parameters if one.ndim == 1], "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=self.learning_rate)

    def losses(self, images: Tensor, neighbors: Tensor) -> list[Tensor]:
        """Loss of every head on features of images and of their neighbours, (B, D) each; moves the priors."""
        batch = len(images)
        both = torch.cat([images, neighbors])
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.bfloat16):
            logits = [head(both) for head in self.heads]
            with torch.no_grad():
                targets = [head(both) for head in self.teacher]
        student = [self._probabilities(one) for one in logits]
        teacher = [self._probabilities(one) for one in targets]
        with torch.no_grad():
            for head, own in enumerate(teacher):
                self.priors[head] = PRIOR_MOMENTUM * self.priors[head] + (1 - PRIOR_MOMENTUM) * own.mean(dim=0)
            weight = torch.stack([(own[:batch] * own[batch:]).sum(dim=-1) for own in teacher]).mean(dim=0)
        found = []
        for own, target, prior in zip(student, teacher, self.priors, strict=True):
            there = mutual_information_loss(own[:batch], target[batch:], prior, weight, self.beta)
            back = mutual_information_loss(own[batch:], target[:batch], prior, weight, self.beta)
            found.append((there + back) / 2)
        return found

    def step(self, images: Tensor, neighbors: Tensor) -> Tensor:
        """One iteration; the loss of every head, (H,)."""
        losses = torch.stack(self.losses(images, neighbors))
        losses.mean().backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            for old, new in zip(self.teacher, self.heads, strict=True):
                for average, value in zip(old.parameters(), new.parameters(), strict=True):
                    average.mul_(self.teacher_momentum).add_(value, alpha=1 - self.teacher_momentum)
        return losses.detach()

    def _probabilities(self, logits: Tensor) -> Tensor:
        wide = logits if logits.dtype == torch.float64 else logits.float()
        return (wide / self.temperature).softmax(dim=-1)
