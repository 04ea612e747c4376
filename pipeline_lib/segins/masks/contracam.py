"""ContraCAM: class activation maps of a contrastive score (Mo et al. 2021, section 2; thesis 3.1.2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, assert_never

import torch
from torch import Tensor
from torch.nn import functional

from pipeline_lib.segins.masks.network import EmbeddingNetwork

Positive = Literal["image", "batch"]
_SMALLEST_RANGE = 1e-20


@dataclass(frozen=True)
class ContraCamStep:
    """What one iteration computes, of N images.

    Attributes:
        images: Input of the network, (N, 3, H, W): the regions found before are painted over.
        embedding: Normalised embeddings, (N, d).
        score: Contrastive score of each image, (N,).
        feature: Map of the last stage, (N, C, h, w).
        gradient: Gradient of the sum of the scores by ``feature``, (N, C, h, w).
        channel_weight: Its spatial mean where positive, else 0, (N, C).
        activation: Rectified weighted sum of the channels, (N, 1, h, w).
        upsampled: The same at the size of the input, (N, 1, H, W); bicubic, so it may overshoot below 0.
        normalised: ``upsampled`` scaled to [0, 1] image by image, (N, 1, H, W).
    """

    images: Tensor
    embedding: Tensor
    score: Tensor
    feature: Tensor
    gradient: Tensor
    channel_weight: Tensor
    activation: Tensor
    upsampled: Tensor
    normalised: Tensor


def contrastive_score(embedding: Tensor, first: Tensor, negatives: Tensor, positive: Positive) -> Tensor:
    """Score of each image against the rest of its batch, without a temperature (Mo et al. 2021, Eq. 2).

    Args:
        embedding: Normalised embeddings of this iteration, (N, d); gradients flow to these only.
        first: Those of the unmasked images, (N, d).
        negatives: Those of all iterations so far, (T, N, d). An image's own entries count as similarity 0, so they add
            1 each to the denominator, as in the reference implementation.
        positive: ``image``: similarity with the own unmasked image, as in the paper. ``batch``: the log-sum-exp of
            these similarities over the batch, one number for all images, as the reference implementation computes it;
            equal in its maps at the first iteration only.

    Returns:
        (N,).
    """
    own = (embedding * first).sum(dim=1)  # (N,)
    match positive:
        case "image":
            pass
        case "batch":
            own = torch.logsumexp(own, dim=0).expand(len(embedding))
        case _:
            assert_never(positive)
    similarity = torch.einsum("nd,tmd->ntm", embedding, negatives)  # (N, T, N)
    others = 1 - torch.eye(len(embedding), dtype=embedding.dtype, device=embedding.device)  # (N, N)
    return own - torch.logsumexp((similarity * others[:, None]).flatten(1), dim=1)


def scaled_to_unit(maps: Tensor) -> Tensor:
    """Each map less its minimum, divided by its then maximum: (N, 1, H, W) to [0, 1]; a flat map becomes 0."""
    lowered = maps - maps.amin(dim=(1, 2, 3), keepdim=True)
    return lowered / (lowered.amax(dim=(1, 2, 3), keepdim=True) + _SMALLEST_RANGE)


def contracam(
    network: EmbeddingNetwork,
    images: Tensor,
    *,
    iterations: int = 1,
    positive: Positive = "image",
    observe: Callable[[ContraCamStep], None] | None = None,
) -> Tensor:
    """Where each image has what tells it from the other images of the batch.

    After an iteration the found region is painted over with the batch's mean colour, softly, and the map computed
    again; the result is the pixelwise maximum over the iterations (Mo et al. 2021, iterative ContraCAM). Negative
    channel weights are left out: they come from objects that other images share.

    Args:
        network: Backbone and projector in evaluation mode.
        images: Normalised images, (N, 3, H, W), at least two. Maps depend on which images are together.
        iterations: 1 is one pass.
        positive: See :func:`contrastive_score`.
        observe: Gets what every iteration computed.

    Returns:
        Maps in [0, 1], (N, 1, H, W), of the images' dtype.
    """
    colour = images.mean(dim=(0, 2, 3)).view(1, -1, 1, 1)
    found = torch.zeros_like(images[:, :1])  # (N, 1, H, W)
    embeddings: list[Tensor] = []
    for _ in range(iterations):
        painted = images * (1 - found) + colour * found
        step = _step(network, painted, embeddings, positive)
        embeddings.append(step.embedding)
        found = torch.maximum(found, step.normalised)
        if observe is not None:
            observe(step)
    return found


def _step(network: EmbeddingNetwork, images: Tensor, before: list[Tensor], positive: Positive) -> ContraCamStep:
    with torch.no_grad():
        feature = network.feature(images)  # (N, C, h, w)
    with torch.enable_grad():
        leaf = feature.detach().requires_grad_()
        embedding = network.embedding(leaf)  # (N, d)
        constant = [*before, embedding.detach()]
        score = contrastive_score(embedding, constant[0], torch.stack(constant), positive)
        (gradient,) = torch.autograd.grad(score.sum(), leaf)
    weight = gradient.mean(dim=(2, 3)).clamp(min=0)  # (N, C)
    activation = torch.einsum("nc,nchw->nhw", weight, feature).unsqueeze(1).relu()  # (N, 1, h, w)
    upsampled = functional.interpolate(activation, size=images.shape[-2:], mode="bicubic", align_corners=False)
    return ContraCamStep(
        images=images,
        embedding=constant[-1],
        score=score.detach(),
        feature=feature,
        gradient=gradient,
        channel_weight=weight,
        activation=activation,
        upsampled=upsampled,
        normalised=scaled_to_unit(upsampled),
    )
