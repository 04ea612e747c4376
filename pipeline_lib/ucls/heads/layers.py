"""The layers of all heads as differentiable functions whose backward passes are written out.

Autograd's own would take a product and many passes over memory more, and copy gradients into the layout of their
parameters. Letters: H heads, B images, D columns, K classes; ' transposes, * and / are by element, dX is dL/dX.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional


class _TwoLayers(torch.autograd.Function):
    """y = x * gamma + beta,  a = y W' + b,  h = GELU(a),  z = h V' + c.

    Autograd needs the product da W, as large as the others of the first layer, only to sum its elements into the
    gradients of gamma and beta. With G = da' x and s the column sums of da, they are sums over the weights instead, and
    G serves the gradient of W too: dgamma = column sums of G * W, dbeta = s W, dW = G * gamma + s beta'.
    """

    @staticmethod
    def forward(
        ctx: Any,
        features: Tensor,
        scale: Tensor | None,
        shift: Tensor | None,
        hidden_weight: Tensor,
        hidden_bias: Tensor,
        bottleneck_weight: Tensor,
        bottleneck_bias: Tensor,
    ) -> Tensor:
        heads, width, _ = hidden_weight.shape
        scaled = features if scale is None or shift is None else features * scale + shift
        before = functional.linear(scaled, hidden_weight.flatten(0, 1), hidden_bias.flatten())  # (B, H * hidden)
        hidden = functional.gelu(before)
        ctx.save_for_backward(features, scale, shift, hidden_weight, bottleneck_weight, before, hidden)
        by_head = hidden.view(-1, heads, width).transpose(0, 1)  # (H, B, hidden)
        return torch.baddbmm(bottleneck_bias[:, None], by_head, bottleneck_weight.mT)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        features, scale, shift, hidden_weight, bottleneck_weight, before, hidden = ctx.saved_tensors
        heads, width, columns = hidden_weight.shape
        by_head = hidden.view(-1, heads, width).transpose(0, 1)  # (H, B, hidden)
        of_bottleneck_weight = torch.bmm(gradient.mT, by_head)
        of_hidden = torch.bmm(gradient, bottleneck_weight).transpose(0, 1)  # (B, H, hidden)
        of_before = torch.empty_like(before)
        torch.ops.aten.gelu_backward.grad_input(
            of_hidden, before.view_as(of_hidden), grad_input=of_before.view_as(of_hidden)
        )
        sums = of_before.sum(dim=0)  # (H * hidden,)
        product = of_before.T @ features  # (H * hidden, D)
        of_scale = of_shift = None
        if scale is not None:
            weight = hidden_weight.flatten(0, 1)
            of_scale = (product * weight).sum(dim=0)
            of_shift = sums @ weight
            product.mul_(scale).addr_(sums, shift)
        return (
            None,
            of_scale,
            of_shift,
            product.view(heads, width, columns),
            sums.view(heads, width),
            of_bottleneck_weight,
            gradient.sum(dim=1),
        )


def two_layers(
    features: Tensor,
    scale: Tensor | None,
    shift: Tensor | None,
    hidden_weight: Tensor,
    hidden_bias: Tensor,
    bottleneck_weight: Tensor,
    bottleneck_bias: Tensor,
) -> Tensor:
    """Outputs of the second layer of every head; all but the features take gradients.

    Args:
        features: What the heads see before scale and shift, (B, D); no gradient reaches it.
        scale: Factor of every column, (D,); None together with ``shift`` for features as they are.
        shift: Summand of every column, (D,).
        hidden_weight: Weights of the first layers, (H, hidden, D).
        hidden_bias: Their biases, (H, hidden).
        bottleneck_weight: Weights of the second layers, (H, bottleneck, hidden).
        bottleneck_bias: Their biases, (H, bottleneck).

    Returns:
        The outputs, (H, B, bottleneck).
    """
    apply: Callable[..., Tensor] = _TwoLayers.apply
    return apply(features, scale, shift, hidden_weight, hidden_bias, bottleneck_weight, bottleneck_bias)


class _CosineLogits(torch.autograd.Function):
    """o = u (g * w)' with u = z / |z| and w = v / |v|, rows by their lengths.

    With P = do' u: dg = row sums of P * w, dv = g * (P - dg * w) / |v|; and with Q = do (g * w): dz = (Q - (row sums
    of Q * u) * u) / |z|.
    """

    @staticmethod
    def forward(ctx: Any, codes: Tensor, prototypes: Tensor, lengths: Tensor) -> Tensor:
        code_lengths, direction_lengths = _lengths(codes), _lengths(prototypes)
        units, directions = codes / code_lengths, prototypes / direction_lengths
        ctx.save_for_backward(units, code_lengths, directions, direction_lengths, lengths)
        return torch.bmm(units, (lengths[..., None] * directions).mT)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        units, code_lengths, directions, direction_lengths, lengths = ctx.saved_tensors
        of_units = torch.bmm(gradient, lengths[..., None] * directions)  # (H, B, bottleneck)
        along = (of_units * units).sum(dim=-1, keepdim=True)
        of_codes = of_units.addcmul_(units, along, value=-1).div_(code_lengths)
        of_prototypes = torch.bmm(gradient.mT, units)  # (H, K, bottleneck)
        of_lengths = (of_prototypes * directions).sum(dim=-1, keepdim=True)
        of_prototypes.addcmul_(directions, of_lengths, value=-1).mul_(lengths[..., None] / direction_lengths)
        return of_codes, of_prototypes, of_lengths.squeeze(-1)


def _lengths(vectors: Tensor) -> Tensor:
    """Lengths of rows, (..., 1), as ``functional.normalize`` bounds them."""
    lengths: Tensor = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    return lengths.clamp(min=1e-12)


def cosine_logits(codes: Tensor, prototypes: Tensor, lengths: Tensor) -> Tensor:
    """Cosines of codes with prototypes, times the lengths of these.

    Args:
        codes: Rows of any length, (H, B, bottleneck).
        prototypes: Directions, rows of any length, (H, K, bottleneck).
        lengths: Lengths of the prototypes, (H, K).

    Returns:
        Logits, (H, B, K).
    """
    apply: Callable[..., Tensor] = _CosineLogits.apply
    return apply(codes, prototypes, lengths)
