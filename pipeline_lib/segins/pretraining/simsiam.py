"""SimSiam (Chen and He, 2021): a predictor and a stopped gradient, without negatives."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import torch
from torch import Tensor, nn

from pipeline_lib.segins.pretraining.batch_norm import synchronised
from pipeline_lib.segins.pretraining.losses import simsiam_loss
from pipeline_lib.segins.pretraining.method import Forward, Losses, Method, Setup, trained_parameters
from pipeline_lib.segins.pretraining.methods import SimSiamSettings
from pipeline_lib.segins.pretraining.network import PretrainedNetwork, SegmentationBranch
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


class SimSiam(Method[SimSiamSettings]):
    """SimSiam with an optional segmentation branch."""

    def __init__(self, setup: Setup, settings: SimSiamSettings) -> None:
        """Build the network."""
        super().__init__(setup, settings)
        channels = stage_channels(setup.architecture)
        network = PretrainedNetwork(
            build_resnet(setup.architecture, zero_init_residual=settings.zero_init_residual),
            simsiam_projector(channels["res5"], settings.projector),
            simsiam_predictor(settings.projector, settings.predictor),
            None if setup.segmentation is None else SegmentationBranch(channels[setup.stage]),
            setup.stage,
        )
        synchronised(network, setup.device)
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
