"""A linear classifier on frozen pooled features, trained with MoCo's protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from pipeline_lib.base.progress import progress
from pipeline_lib.segins.transfer.settings import LinearEvalSettings

MOMENTUM = 0.9
INITIAL_DEVIATION = 0.01
_BATCH_OF_RATE = 256


@torch.no_grad()
def pooled_features(model: nn.Module, batches: Iterable[Tensor], device: torch.device) -> Tensor:
    """Outputs of a network in evaluation mode, float32 (n, C), on the CPU.

    Args:
        model: A ResNet without classifier.
        batches: Normalised images, float (b, 3, H, W) each.
        device: Where the network is.
    """
    model.eval()
    return torch.cat([model(images.to(device)).float().cpu() for images in batches])


def rate_at(epoch: int, settings: LinearEvalSettings) -> float:
    """Learning rate of an epoch: for the batch size at hand, a tenth after each milestone."""
    passed = sum(epoch >= round(share * settings.epochs) for share in settings.milestones)
    return settings.learning_rate * settings.batch_size / _BATCH_OF_RATE * 0.1**passed


def train_classifier(
    features_of: Callable[[int, Tensor], Iterable[Tensor]],
    labels: Tensor,
    dimension: int,
    classes: int,
    settings: LinearEvalSettings,
    seed: int,
) -> nn.Linear:
    """Train the classifier; weights start at N(0, 0.01), without weight decay.

    Args:
        features_of: Features of an epoch's images in the order of the given rows, by batches of the settings' size.
        labels: Classes of all training images, int64 (n,).
        dimension: Length of a feature.
        classes: Number of classes.
        settings: Settings.
        seed: Seed of weights and order.

    Returns:
        The classifier.
    """
    generator = torch.Generator().manual_seed(seed)
    classifier = nn.Linear(dimension, classes)
    with torch.no_grad():
        classifier.weight.normal_(0, INITIAL_DEVIATION, generator=generator)
        classifier.bias.zero_()
    optimizer = torch.optim.SGD(classifier.parameters(), lr=rate_at(0, settings), momentum=MOMENTUM)
    for epoch in progress(range(settings.epochs), "linear evaluation", unit="epoch"):
        for group in optimizer.param_groups:
            group["lr"] = rate_at(epoch, settings)
        order = torch.randperm(len(labels), generator=generator)
        for rows, features in zip(torch.split(order, settings.batch_size), features_of(epoch, order), strict=True):
            loss = nn.functional.cross_entropy(classifier(features), labels[rows])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
    return classifier


def topk_accuracy(logits: Tensor, labels: Tensor, k: int) -> float:
    """Share of rows whose class is among the ``k`` largest logits; (n, C) and (n,)."""
    best = logits.topk(min(k, logits.shape[1]), dim=1).indices  # (n, k)
    return float((best == labels[:, None]).any(dim=1).float().mean())
