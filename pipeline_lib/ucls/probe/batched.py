"""All learning rates of one feature input, trained together with one matrix product each way."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pipeline_lib.base.settings import Precision
from pipeline_lib.ucls.probe.grid import MOMENTUM

_INITIAL_DEVIATION = 0.01


def _softmax_in_place(logits: Tensor) -> Tensor:
    # torch's fused softmax over a short last axis is some five times slower on the CPU than its parts.
    logits.sub_(logits.amax(dim=-1, keepdim=True)).exp_()
    return logits.div_(logits.sum(dim=-1, keepdim=True))


class BatchedClassifiers:
    """R linear softmax classifiers on the same features, each with its own learning rate.

    The loss is the sum of the classifiers' cross-entropies, so no gradient of one depends on another: their columns of
    the weight never mix, and one that diverges does not touch the others. The update is that of ``torch.optim.SGD``
    with momentum 0.9, no weight decay and a parameter group for each classifier. Gradients are written out, since
    autograd would cost more than the products on batches this small.

    Args:
        dimension: Features D.
        classes: Classes C.
        rates: Scaled learning rate of each classifier, (R,).
        generator: CPU generator of the initial weights N(0, 0.01); biases start at 0.
        device: Where to train.
        precision: ``bfloat16`` multiplies in bfloat16 and keeps weights, softmax and updates in float32.
    """

    def __init__(
        self,
        dimension: int,
        classes: int,
        rates: Sequence[float],
        generator: torch.Generator,
        device: torch.device,
        precision: Precision = "float32",
    ) -> None:
        self.count = len(rates)
        self.classes = classes
        columns = self.count * classes
        self.weight = (torch.randn(dimension, columns, generator=generator) * _INITIAL_DEVIATION).to(device)
        self.bias = torch.zeros(columns, device=device)
        self._weight_momentum = torch.zeros_like(self.weight)
        self._bias_momentum = torch.zeros_like(self.bias)
        self._rates = torch.tensor(rates, dtype=torch.float32).repeat_interleave(classes).to(device)  # (R*C,)
        self._half = precision == "bfloat16"

    def logits(self, features: Tensor) -> Tensor:
        """Logits of all classifiers, (b, R, C) float32, for features (b, D) float32."""
        if self._half:
            product = (features.bfloat16() @ self.weight.bfloat16()).float() + self.bias
        else:
            product = torch.addmm(self.bias, features, self.weight)
        return product.view(-1, self.count, self.classes)

    def step(self, features: Tensor, labels: Tensor, weights: Tensor | None, factor: float) -> None:
        """One step of SGD on the sum over classifiers of ``mean_i weights_i * cross_entropy_i``.

        Args:
            features: (b, D) float32.
            labels: Classes, (b,) int64.
            weights: Weight of each sample, (b,) float32, or None for 1.
            factor: Factor of all learning rates in this iteration.
        """
        samples = features.shape[0]
        gradient = _softmax_in_place(self.logits(features))  # (b, R, C)
        # d CE / d logits = softmax - one-hot (times the sample's share of the mean).
        gradient.scatter_add_(
            2,
            labels.view(-1, 1, 1).expand(-1, self.count, 1),
            gradient.new_full((1, 1, 1), -1.0).expand(samples, self.count, 1),
        )
        gradient = gradient.view(samples, -1)  # (b, R*C)
        if weights is not None:
            gradient.mul_(weights.view(-1, 1))
        if self._half:
            self._weight_momentum.mul_(MOMENTUM).add_(features.bfloat16().t() @ gradient.bfloat16(), alpha=1 / samples)
        else:
            self._weight_momentum.addmm_(features.t(), gradient, beta=MOMENTUM, alpha=1 / samples)
        self._bias_momentum.mul_(MOMENTUM).add_(gradient.sum(dim=0), alpha=1 / samples)
        self.weight.addcmul_(self._weight_momentum, self._rates, value=-factor)
        self.bias.addcmul_(self._bias_momentum, self._rates, value=-factor)

    def parameters_of(self, index: int) -> tuple[Tensor, Tensor]:
        """Weight (C, D) and bias (C,) of one classifier, on the CPU, as ``torch.nn.Linear`` has them."""
        own = slice(index * self.classes, (index + 1) * self.classes)
        return self.weight[:, own].t().contiguous().cpu(), self.bias[own].clone().cpu()

    def silence_diverged(self) -> list[bool]:
        """Whether each classifier has a parameter that is not finite; those classifiers are set to zero."""
        finite = self.weight.view(-1, self.count, self.classes).isfinite().all(dim=2).all(dim=0)
        finite &= self.bias.view(self.count, self.classes).isfinite().all(dim=1)
        keep = finite.repeat_interleave(self.classes)
        self.weight.masked_fill_(~keep, 0.0)
        self.bias.masked_fill_(~keep, 0.0)
        return [not value for value in finite.tolist()]
