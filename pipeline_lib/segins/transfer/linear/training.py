"""A linear classifier on frozen pooled features, trained with MoCo's protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Self

import torch
from torch import Tensor, nn

from pipeline_lib.base.gathering import gathered_shares
from pipeline_lib.base.progress import progress
from pipeline_lib.base.row_blocks import row_blocks
from pipeline_lib.base.runtime import fixed_shapes
from pipeline_lib.segins.transfer.linear.samples import Crops
from pipeline_lib.segins.transfer.settings import LinearEvalSettings

MOMENTUM = 0.9
INITIAL_DEVIATION = 0.01
_BATCH_OF_RATE = 256


def pooled_features(
    model: nn.Module, crops: Crops, batch_size: int, workers: int, device: torch.device
) -> Iterator[Tensor]:
    """Outputs of a network in evaluation mode, by batches; processes share the images of each and all get all outputs.

    Args:
        model: A ResNet without classifier.
        crops: The images.
        batch_size: Images a batch, over all processes.
        workers: Processes that decode.
        device: Where the network is.

    Yields:
        float32 (at most ``batch_size``, C), on the device.
    """
    model.eval()
    shares = crops.batches(batch_size, workers, device.type == "cuda")
    for block, images in zip(row_blocks(len(crops), batch_size), shares, strict=True):
        with torch.no_grad(), fixed_shapes():
            own = model(images.to(device, non_blocking=True)).float()
        yield gathered_shares(own)[: block.stop - block.start]


def rate_at(epoch: int, settings: LinearEvalSettings) -> float:
    """Learning rate of an epoch: for the batch size at hand, a tenth after each milestone."""
    passed = sum(epoch >= round(share * settings.epochs) for share in settings.milestones)
    return settings.learning_rate * settings.batch_size / _BATCH_OF_RATE * 0.1**passed


class LinearTrainer:
    """Trains the classifier step by step; its state can be stored after any step and taken up again bit by bit.

    Weights start at N(0, 0.01), without weight decay. The layer is so small that every process computes all of it,
    as the step of an optimiser under data parallelism.

    Attributes:
        epoch: Epochs that are done.
        step: Steps of the current epoch that are done.

    Args:
        features_of: Features of an epoch's images in the order of the given rows, on the device, by batches of the
            settings' size, from the given step on.
        labels: Classes of all training images, int64 (n,).
        dimension: Length of a feature.
        classes: Number of classes.
        settings: Settings.
        seed: Seed of weights and order.
        device: Where to compute.
    """

    def __init__(
        self,
        features_of: Callable[[int, Tensor, int], Iterable[Tensor]],
        labels: Tensor,
        dimension: int,
        classes: int,
        settings: LinearEvalSettings,
        seed: int,
        device: torch.device,
    ) -> None:
        self.epoch, self.step = 0, 0
        self._features_of, self._labels, self._settings = features_of, labels.to(device), settings
        self._generator = torch.Generator().manual_seed(seed)
        classifier = nn.Linear(dimension, classes)
        with torch.no_grad():
            classifier.weight.normal_(0, INITIAL_DEVIATION, generator=self._generator)
            classifier.bias.zero_()
        self._order_from = self._generator.get_state()
        self.classifier = classifier.to(device)
        self._optimizer = torch.optim.SGD(self.classifier.parameters(), lr=rate_at(0, settings), momentum=MOMENTUM)

    @property
    def position(self) -> str:
        """The epoch that training is in, or that it has ended."""
        epochs = self._settings.epochs
        return f"in epoch {self.epoch + 1} of {epochs}" if self.epoch < epochs else f"after the last of {epochs} epochs"

    def state(self) -> dict[str, Any]:
        """Everything that the next step depends on, the same in every process."""
        return {
            "epoch": self.epoch,
            "step": self.step,
            "order_from": self._order_from,
            "classifier": self.classifier.state_dict(),
            "optimizer": self._optimizer.state_dict(),
        }

    def resume(self, state: dict[str, Any]) -> None:
        """Take up training after the step that ``state`` was stored at."""
        self.epoch, self.step, self._order_from = state["epoch"], state["step"], state["order_from"]
        self.classifier.load_state_dict(state["classifier"])
        self._optimizer.load_state_dict(state["optimizer"])

    def run(self, after: Callable[[Self], None] | None = None) -> nn.Linear:
        """Train to the end.

        Args:
            after: Called after every step, for example to store the state.

        Returns:
            The classifier.
        """
        for epoch in progress(range(self.epoch, self._settings.epochs), "linear evaluation", unit="epoch"):
            for group in self._optimizer.param_groups:
                group["lr"] = rate_at(epoch, self._settings)
            self._generator.set_state(self._order_from)
            order = torch.randperm(len(self._labels), generator=self._generator)
            batches = torch.split(order, self._settings.batch_size)
            features_of_step = self._features_of(epoch, order, self.step)
            for rows, features in zip(batches[self.step :], features_of_step, strict=True):
                self._update(features, self._labels[rows.to(self._labels.device)])
                self.step += 1
                if self.step == len(batches):
                    self.epoch, self.step, self._order_from = epoch + 1, 0, self._generator.get_state()
                if after is not None:
                    after(self)
        return self.classifier

    def _update(self, features: Tensor, labels: Tensor) -> None:
        loss = nn.functional.cross_entropy(self.classifier(features), labels)
        self._optimizer.zero_grad()
        torch.autograd.backward(loss)
        self._optimizer.step()


def topk_accuracy(logits: Tensor, labels: Tensor, k: int) -> float:
    """Share of rows whose class is among the ``k`` largest logits; (n, C) and (n,)."""
    best = logits.topk(min(k, logits.shape[1]), dim=1).indices  # (n, k)
    return float((best == labels[:, None]).any(dim=1).float().mean())
