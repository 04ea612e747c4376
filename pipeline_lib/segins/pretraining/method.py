"""What the training loop needs of a pretraining method."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pipeline_lib.segins.pretraining.losses import SegmentationLoss, embedding_spread, segmentation_loss, total_loss
from pipeline_lib.segins.pretraining.network import PretrainedNetwork
from pipeline_lib.segins.pretraining.views import Views

Forward = Callable[..., tuple[list[Tensor], list[Tensor], list[Tensor]]]


@dataclass(frozen=True)
class Segmentation:
    """How the segmentation branch counts.

    Attributes:
        weight: λ of thesis Eq. 3.5.
        loss: Kind of the loss.
    """

    weight: float
    loss: SegmentationLoss


@dataclass(frozen=True)
class Losses:
    """Losses of one part of a batch, scalars of this process' share.

    Attributes:
        total: What is minimised.
        identity: L_id.
        segmentation: L_seg; 0 without a branch.
        spread: Spread of the first view's embeddings, see ``embedding_spread``.
    """

    total: Tensor
    identity: Tensor
    segmentation: Tensor
    spread: Tensor

    def values(self) -> Tensor:
        """Total, L_id, L_seg and spread without gradient, (4,)."""
        return torch.stack([self.total, self.identity, self.segmentation, self.spread]).detach()


class Method(ABC):
    """A pretraining method: its network, its losses, and what it does around a step.

    Attributes:
        network: The network that is trained by gradient.
    """

    network: PretrainedNetwork

    def __init__(self, segmentation: Segmentation | None) -> None:
        """Prepare; ``segmentation`` is None without a branch."""
        self._segmentation = segmentation

    @abstractmethod
    def before_training(self, views: Iterable[Views]) -> None:
        """Called once, before the first step; ``views`` are those of the first epoch, part by part."""

    @abstractmethod
    def losses(self, forward: Forward, views: Views, first: bool, generator: torch.Generator) -> Losses:
        """Losses of one part of a batch.

        Args:
            forward: The network as the engine wraps it.
            views: The views.
            first: Whether this is the first part of its batch.
            generator: Random numbers of this part, the same in every process.
        """

    @abstractmethod
    def parameter_groups(self) -> list[dict[str, Any]]:
        """Groups for the optimiser; ``constant`` says that the rate of a group does not decay."""

    @abstractmethod
    def after_batch(self) -> None:
        """Called when all parts of a batch are done."""

    @abstractmethod
    def to(self, device: torch.device) -> None:
        """Move what is not part of the network."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """What training depends on besides the network."""

    @abstractmethod
    def load_state(self, state: dict[str, Any]) -> None:
        """Take up what :meth:`state` gave."""

    def combined(
        self, identity: Tensor, embeddings: Tensor, logits: Sequence[Tensor], masks: Sequence[Tensor]
    ) -> Losses:
        """Thesis Eq. 3.5, the segmentation loss being the mean over the global views."""
        spread = embedding_spread(embeddings)
        if self._segmentation is None:
            return Losses(identity, identity, identity.new_zeros(()), spread)
        kind = self._segmentation.loss
        each = [segmentation_loss(logit, mask, kind) for logit, mask in zip(logits, masks, strict=True)]
        segmentation = torch.stack(each).mean()
        total = total_loss(identity, segmentation, self._segmentation.weight)
        return Losses(total, identity, segmentation, spread)


def trained_parameters(module: nn.Module) -> list[nn.Parameter]:
    """Parameters that get a gradient."""
    return [parameter for parameter in module.parameters() if parameter.requires_grad]
