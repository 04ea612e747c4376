"""What the training loop needs of a pretraining method."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from pipeline_lib.segins.pretraining.losses import SegmentationLoss, embedding_spread, segmentation_loss, total_loss
from pipeline_lib.segins.pretraining.methods import MethodSettings
from pipeline_lib.segins.pretraining.network import PretrainedNetwork
from pipeline_lib.segins.pretraining.views import Views

Forward = Callable[..., tuple[list[Tensor], list[Tensor], list[Tensor]]]
OwnSettings = TypeVar("OwnSettings", bound=MethodSettings)


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


@dataclass(frozen=True)
class Setup:
    """What every method is built for.

    Attributes:
        architecture: Name of the ResNet.
        stage: Stage that the segmentation branch reads.
        segmentation: How the branch counts; None: no branch.
        device: Where it will run.
        autocast: Context of the precision, for networks that are not trained by gradient.
        batch_size: Images a step, over all processes.
        accumulate: Parts of a batch.
        processes: Number of processes.
        seed: Seed of what the method draws itself; weights are drawn from torch's own generator.
    """

    architecture: str
    stage: str
    segmentation: Segmentation | None
    device: torch.device
    autocast: Callable[[], Any]
    batch_size: int
    accumulate: int
    processes: int
    seed: int


class Method(ABC, Generic[OwnSettings]):
    """A pretraining method: its network, its losses, and what it does around a step.

    A method needs ``__init__``, which builds ``network``, and ``losses``; the rest has a default.

    Attributes:
        network: The network that is trained by gradient.
        setup: What it was built for.
        settings: Its settings.
    """

    network: PretrainedNetwork

    def __init__(self, setup: Setup, settings: OwnSettings) -> None:
        """Keep both; a method's own builds its network with random weights."""
        self.setup = setup
        self.settings = settings

    @staticmethod
    def check(setup: Setup, settings: OwnSettings) -> None:
        """Refuse what the method cannot work with, before anything is built.

        Raises:
            UserError: Sizes do not fit each other.
        """

    @abstractmethod
    def losses(self, forward: Forward, views: Views, first: bool, generator: torch.Generator) -> Losses:
        """Losses of one part of a batch.

        Args:
            forward: The network as the engine wraps it.
            views: The views.
            first: Whether this is the first part of its batch.
            generator: Random numbers of this part, the same in every process.
        """

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Groups for the optimiser; ``constant`` says that the rate of a group does not decay. One, that decays."""
        return [{"params": trained_parameters(self.network), "constant": False}]

    def before_training(self, views: Iterable[Views]) -> None:
        """Called once, before the first step; ``views`` are those of the first epoch, part by part."""

    def after_part(self) -> None:
        """Called when the gradient of a part is there; makes equal in all processes what they changed apart."""

    def after_batch(self) -> None:
        """Called when all parts of a batch are done."""

    def to(self, device: torch.device) -> None:
        """Move what is not part of the network."""

    def state(self) -> dict[str, Any]:
        """What training depends on besides the network: nothing."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up what :meth:`state` gave."""

    def combined(
        self, identity: Tensor, embeddings: Tensor, logits: Sequence[Tensor], masks: Sequence[Tensor]
    ) -> Losses:
        """Thesis Eq. 3.5, the segmentation loss being the mean over the global views."""
        spread = embedding_spread(embeddings)
        branch = self.setup.segmentation
        if branch is None:
            return Losses(identity, identity, identity.new_zeros(()), spread)
        each = [segmentation_loss(logit, mask, branch.loss) for logit, mask in zip(logits, masks, strict=True)]
        segmentation = torch.stack(each).mean()
        total = total_loss(identity, segmentation, branch.weight)
        return Losses(total, identity, segmentation, spread)


def trained_parameters(module: nn.Module) -> list[nn.Parameter]:
    """Parameters that get a gradient."""
    return [parameter for parameter in module.parameters() if parameter.requires_grad]
