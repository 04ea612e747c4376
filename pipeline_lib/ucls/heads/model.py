"""The multi-head classifier: components and normalisation once, then H three-layer heads as one module."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline_lib.features.principal_components import fitted_components
from pipeline_lib.ucls.heads.components import PrincipalComponents
from pipeline_lib.ucls.heads.layers import cosine_logits, two_layers
from pipeline_lib.ucls.heads.normalisation import FeatureBatchNorm, normalisation
from pipeline_lib.ucls.heads.settings import HeadSettings, InputName


@dataclass(frozen=True)
class HeadShape:
    """Sizes of the classifier.

    Attributes:
        features: Feature dimension D.
        classes: Number of classes K.
        heads: Number of heads H.
        hidden: Width of the first layer.
        bottleneck: Width of the L2-normalised layer before the prototypes.
        input: What stands before the heads: ``none``, ``standardise`` or ``batch_norm``.
        components: Principal components of the features that the heads see; ``None`` for the features as they are.
    """

    features: int
    classes: int
    heads: int
    hidden: int = 512
    bottleneck: int = 256
    input: InputName = "batch_norm"
    components: int | None = None

    @classmethod
    def of(cls, settings: HeadSettings, features: int, images: int, classes: int) -> Self:
        """Sizes that the settings mean for ``images`` training images with ``features`` columns."""
        return cls(
            features=features,
            classes=classes,
            heads=settings.heads,
            hidden=settings.hidden,
            bottleneck=settings.bottleneck,
            input=settings.input,
            components=fitted_components(settings.components, features, images, classes),
        )

    @property
    def inputs(self) -> int:
        """Columns that the heads see."""
        return self.components or self.features


class MultiHeadClassifier(nn.Module):
    """H heads on the same features: linear, GELU, linear, L2 normalisation, prototypes with a learned length.

    The head is TEMI's (multi_head.py): the logit of a class is its length times the cosine with its prototype. The
    first layer of all heads is one matrix product, the others are batched over heads.

    Args:
        shape: Sizes.
        generator: Source of the initial weights.
    """

    def __init__(self, shape: HeadShape, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.shape = shape
        heads, hidden, bottleneck = shape.heads, shape.hidden, shape.bottleneck
        self.reduction = PrincipalComponents(shape.features, shape.components) if shape.components else nn.Identity()
        self.normalisation = normalisation(shape.input, shape.inputs)
        self.hidden_weight = nn.Parameter(torch.empty(heads, hidden, shape.inputs))
        self.hidden_bias = nn.Parameter(torch.zeros(heads, hidden))
        self.bottleneck_weight = nn.Parameter(torch.empty(heads, bottleneck, hidden))
        self.bottleneck_bias = nn.Parameter(torch.zeros(heads, bottleneck))
        self.prototypes = nn.Parameter(torch.empty(heads, shape.classes, bottleneck))
        for weight in (self.hidden_weight, self.bottleneck_weight):
            nn.init.trunc_normal_(weight, std=0.02, generator=generator)
        bound = 1 / math.sqrt(bottleneck)
        nn.init.uniform_(self.prototypes, -bound, bound, generator=generator)
        # Lengths of one, not those of the directions (0.577): with a temperature of 0.1 the likeliest of 1,000 classes
        # can have a probability of 0.96 instead of 0.24, and training at the thesis' rates hardly moves a length.
        self.prototype_length = nn.Parameter(torch.ones(heads, shape.classes))

    def codes(self, features: Tensor) -> Tensor:
        """The L2-normalised bottleneck of every head.

        Args:
            features: Float32, (B, D).

        Returns:
            Float32, (H, B, bottleneck), rows of length one.
        """
        return functional.normalize(self._bottleneck(features), dim=-1)

    def _bottleneck(self, features: Tensor) -> Tensor:
        layers = (self.hidden_weight, self.hidden_bias, self.bottleneck_weight, self.bottleneck_bias)
        reduced = self.reduction(features)  # (B, inputs)
        if torch.is_autocast_enabled(features.device.type):
            code = _autocast_layers(self.normalisation(reduced), *layers)
        elif isinstance(self.normalisation, FeatureBatchNorm):
            standardised = self.normalisation.standardised(reduced)
            code = two_layers(standardised, self.normalisation.weight, self.normalisation.bias, *layers)
        else:
            code = two_layers(self.normalisation(reduced), None, None, *layers)
        return code.to(torch.promote_types(code.dtype, torch.float32))  # (H, B, bottleneck)

    def forward(self, features: Tensor) -> Tensor:
        """Logits of every head.

        Args:
            features: Float32, (B, D).

        Returns:
            Float32 logits before any temperature, (H, B, K).
        """
        code = self._bottleneck(features)
        # Cosines divided by a temperature of 0.1 need more digits than bfloat16 has.
        with torch.autocast(features.device.type, enabled=False):
            return cosine_logits(code, self.prototypes, self.prototype_length)

    def decayed_parameters(self) -> list[nn.Parameter]:
        """Weight matrices and lengths, on which weight decay acts as in TEMI; biases and normalisation have none."""
        return [self.hidden_weight, self.bottleneck_weight, self.prototypes, self.prototype_length]

    def undecayed_parameters(self) -> list[nn.Parameter]:
        """All other parameters."""
        decayed = {id(parameter) for parameter in self.decayed_parameters()}
        return [parameter for parameter in self.parameters() if id(parameter) not in decayed]

    def teacher(self) -> Self:
        """A copy that takes no gradient and normalises by its running statistics."""
        copied = copy.deepcopy(self).requires_grad_(False)
        copied.eval()
        return copied


def _autocast_layers(
    inputs: Tensor, hidden_weight: Tensor, hidden_bias: Tensor, bottleneck_weight: Tensor, bottleneck_bias: Tensor
) -> Tensor:
    """:func:`two_layers` in autocast's precision, where a product costs less than passes over float32 weights."""
    heads, width, _ = hidden_weight.shape
    hidden = functional.linear(inputs, hidden_weight.flatten(0, 1), hidden_bias.flatten())
    hidden = functional.gelu(hidden).view(-1, heads, width).transpose(0, 1)  # (H, B, hidden)
    return torch.bmm(hidden, bottleneck_weight.mT) + bottleneck_bias[:, None]  # (H, B, bottleneck)


@torch.no_grad()
def follow(teacher: nn.Module, student: nn.Module, momentum: float) -> None:
    """Move the teacher towards the student: parameters by moving average, buffers by copy.

    Args:
        teacher: Module to update in place.
        student: Module of the same structure.
        momentum: Share of the old teacher, in [0, 1].
    """
    torch._foreach_lerp_(list(teacher.parameters()), list(student.parameters()), 1 - momentum)
    for old, new in zip(teacher.buffers(), student.buffers(), strict=True):
        old.copy_(new)
