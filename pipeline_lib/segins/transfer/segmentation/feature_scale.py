"""Standardised features, so that one learning rate of the linear layer suits the features of every start."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from pipeline_lib.base.runtime import all_reduce, is_distributed
from pipeline_lib.segins.transfer.segmentation.model import LinearSegmenter

BATCHES = 16
"""Training batches over which mean and deviation are taken."""

_SMALLEST_DEVIATION = 1e-4


def standardise_features(segmenter: LinearSegmenter, batches: Iterable[Tensor]) -> None:
    """Set the segmenter's ``mean`` and ``deviation`` to those of its features; channels that are constant keep 1.

    Args:
        segmenter: The segmenter, changed in place; its network is used in evaluation mode.
        batches: Normalised images, float (N, 3, H, W) each, on the segmenter's device; processes share them.
    """
    training = segmenter.training
    segmenter.eval()
    channels = segmenter.mean.shape[1]
    # Sums of 64 bits: features may lie far from zero.
    total, squares = (torch.zeros(channels, dtype=torch.float64) for _ in range(2))
    count = 0
    with torch.no_grad():
        for images in batches:
            features = segmenter.features(images).cpu().double().transpose(0, 1).flatten(1)  # (C, N H W)
            total += features.sum(dim=1)
            squares += features.square().sum(dim=1)
            count += features.shape[1]
    segmenter.train(training)
    device = segmenter.mean.device
    # With several processes, whose devices all have 64 bits.
    if is_distributed():
        sums = all_reduce(torch.cat([total, squares, total.new_tensor([count])]).to(device)).cpu()
        total, squares, count = sums[:channels], sums[channels:-1], int(sums[-1])
    mean = total / count
    deviation = (squares / count - mean.square()).clamp_min(0).sqrt()
    deviation[deviation < _SMALLEST_DEVIATION] = 1.0
    segmenter.mean.copy_(mean.view_as(segmenter.mean))
    segmenter.deviation.copy_(deviation.view_as(segmenter.deviation))
