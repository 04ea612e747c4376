"""SimSiam (Chen and He, 2021): a predictor and a stopped gradient, without negatives."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from typing import Any

import torch
from torch import Tensor, nn

from pipeline_lib.segins.pretraining.batch_norm import synchronised
from pipeline_lib.segins.pretraining.losses import simsiam_loss
from pipeline_lib.segins.pretraining.method import Forward, Losses, Method, Segmentation, trained_parameters
from pipeline_lib.segins.pretraining.network import PretrainedNetwork, SegmentationBranch
from pipeline_lib.segins.pretraining.settings import SimSiamSettings
from pipeline_lib.segins.pretraining.views import GLOBAL_VIEWS, Views
from pipeline_lib.segins.resnet.build import build_resnet, stage_channels


def simsiam_projector(channels: int, width: int) -> nn.Sequential:
    """Three layers, each normalised, the last without scale, shift and ReLU: (N, channels) → (N, width)."""
    projector = nn.Sequential(
        nn.Linear(channels, channels, bias=False),
        nn.BatchNorm1d(channels),
        nn.ReLU(inplace=True),
        nn.Linear(channels, channels, bias=False),
        nn.BatchNorm1d(channels),
        nn.ReLU(inplace=True),
        nn.Linear(channels, width),
        nn.BatchNorm1d(width, affine=False),
    )
    # The normalisation that follows takes any bias away. It is kept for the key names of the reference's files.
    projector[6].bias.requires_grad = False
    return projector


def simsiam_predictor(width: int, hidden: int) -> nn.Sequential:
    """A bottleneck of two layers: (N, width) → (N, width)."""
    return nn.Sequential(
        nn.Linear(width, hidden, bias=False),
        nn.BatchNorm1d(hidden),
        nn.ReLU(inplace=True),
        nn.Linear(hidden, width),
    )


def multi_crop_simsiam_loss(predictions: list[Tensor], embeddings: list[Tensor]) -> Tensor:
    """Mean of Eq. 3.2 over the pairs of two global views and of a global and a local view (thesis 4.2).

    Args:
        predictions: Of each view, the two global ones first, (N, D).
        embeddings: Of each view, (N, D).

    Returns:
        Scalar in [-1, 1].
    """
    pairs = [(a, b) for a, b in combinations(range(len(embeddings)), 2) if a < GLOBAL_VIEWS]
    each = [simsiam_loss(predictions[a], predictions[b], embeddings[a], embeddings[b]) for a, b in pairs]
    return torch.stack(each).mean()


class SimSiam(Method):
    """SimSiam with an optional segmentation branch."""

    def __init__(
        self,
        architecture: str,
        settings: SimSiamSettings,
        segmentation: Segmentation | None,
        stage: str,
        device: torch.device,
    ) -> None:
        """Build the network.

        Args:
            architecture: Name of the ResNet.
            settings: Settings.
            segmentation: How the branch counts; None: no branch.
            stage: Stage that the branch reads.
            device: Where it will run.
        """
        super().__init__(segmentation)
        channels = stage_channels(architecture)
        network = PretrainedNetwork(
            build_resnet(architecture, zero_init_residual=settings.zero_init_residual),
            simsiam_projector(channels["res5"], settings.projector),
            simsiam_predictor(settings.projector, settings.predictor),
            None if segmentation is None else SegmentationBranch(channels[stage]),
            stage,
        )
        synchronised(network, device)
        self.network = network

    def losses(self, forward: Forward, views: Views, first: bool, generator: torch.Generator) -> Losses:  # noqa: ARG002
        """Eq. 3.2 over the pairs of views, and the segmentation loss of the global ones."""
        embeddings, predictions, logits = forward(views.images, GLOBAL_VIEWS)
        return self.combined(multi_crop_simsiam_loss(predictions, embeddings), embeddings[0], logits, views.masks)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The predictor keeps its rate (SimSiam, section 4.1); all else decays."""
        network = self.network
        predictor = {id(parameter) for parameter in (network.predictor or nn.Module()).parameters()}
        trained = trained_parameters(network)
        return [
            {"params": [p for p in trained if id(p) not in predictor], "constant": False},
            {"params": [p for p in trained if id(p) in predictor], "constant": True},
        ]

    def before_training(self, views: Iterable[Views]) -> None:
        """Nothing is kept that images would have to fill."""

    def after_batch(self) -> None:
        """Nothing is kept between batches."""

    def to(self, device: torch.device) -> None:
        """All is part of the network."""

    def state(self) -> dict[str, Any]:
        """Nothing besides the network."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Nothing to take up."""
