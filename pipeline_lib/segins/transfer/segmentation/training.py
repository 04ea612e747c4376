"""Training of the linear segmenter, frozen or fine-tuned, that can be taken up again after a step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, Self

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from pipeline_lib.artifacts.objects import IGNORED
from pipeline_lib.base.errors import UserError
from pipeline_lib.base.progress import progress
from pipeline_lib.base.runtime import all_reduce, block_of_rank, fixed_shapes, sum_dtype
from pipeline_lib.segins.pretraining.batch_norm import synchronised
from pipeline_lib.segins.transfer.segmentation.feature_scale import BATCHES, standardise_features
from pipeline_lib.segins.transfer.segmentation.model import LinearSegmenter
from pipeline_lib.segins.transfer.segmentation.samples import TrainingCrops
from pipeline_lib.segins.transfer.settings import SegmentationSettings

MOMENTUM = 0.9
WEIGHT_DECAY = 5e-4
POWER = 0.9
LAST_RATE = 1e-4
_WATCHED = 10


def learning_rate(iteration: int, settings: SegmentationSettings) -> float:
    """Polynomial decay with a power of 0.9 from the first rate to 1e-4."""
    left = float((1 - iteration / settings.iterations) ** POWER)
    return LAST_RATE + (settings.learning_rate - LAST_RATE) * left


def segmentation_loss(scores: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of the pixels that count, divided by the number of all pixels, as mmsegmentation does.

    The padding of crops that reach beyond the image so lowers the weight of their other pixels.

    Args:
        scores: Float (N, classes, H, W).
        targets: Classes, int64 (N, H, W); 255 is not counted.

    Returns:
        A scalar; 0 where no pixel counts.
    """
    return nn.functional.cross_entropy(scores, targets, ignore_index=IGNORED, reduction="sum") / targets.numel()


class SegmentationTrainer:
    """Trains step by step; its state can be stored between steps and taken up again bit by bit.

    Attributes:
        iteration: Steps done.
        history: Mean loss and rate at every tenth of the training.
    """

    def __init__(
        self,
        fabric: Fabric,
        settings: SegmentationSettings,
        segmenter: LinearSegmenter,
        crops: TrainingCrops,
        workers: int,
    ) -> None:
        """Prepare the optimiser.

        Args:
            fabric: A launched Fabric.
            settings: Settings.
            segmenter: The model, changed in place.
            crops: What it is trained on.
            workers: Processes that decode; 0: this one does.

        Raises:
            UserError: The processes cannot share a batch evenly.
        """
        if settings.batch_size % fabric.world_size:
            raise UserError(
                f"segmentation.batch_size = {settings.batch_size}: not divisible by the {fabric.world_size} processes"
            )
        synchronised(segmenter, fabric.device)
        self.iteration = 0
        self.history: list[dict[str, Any]] = []
        self.segmenter = segmenter
        self._fabric, self._settings, self._crops, self._workers = fabric, settings, crops, workers
        parameters = [parameter for parameter in segmenter.parameters() if parameter.requires_grad]
        optimizer = torch.optim.SGD(parameters, lr=settings.learning_rate, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)
        self._module, self._optimizer = fabric.setup(segmenter, optimizer)
        self._loss_sum, self._summed = self._zero(), 0

    @property
    def position(self) -> str:
        """Steps that are done."""
        return f"after step {self.iteration} of {self._settings.iterations}"

    def state(self) -> dict[str, Any]:
        """Everything that the next step depends on, the same in every process."""
        return {
            "iteration": self.iteration,
            "segmenter": self.segmenter.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "history": self.history,
            "loss_sum": self._loss_sum,
            "summed": self._summed,
        }

    def resume(self, state: dict[str, Any]) -> None:
        """Take up training after the step that ``state`` was stored at."""
        self.iteration, self.history = state["iteration"], state["history"]
        self.segmenter.load_state_dict(state["segmenter"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._loss_sum, self._summed = state["loss_sum"].to(self._loss_sum), state["summed"]

    def run(self, after: Callable[[Self], None] | None = None) -> list[dict[str, Any]]:
        """Train to the end.

        Args:
            after: Called after every step, for example to store the state.

        Returns:
            The history.

        Raises:
            UserError: The loss stopped being finite.
        """
        settings, device = self._settings, self._fabric.device
        if self.iteration == 0 and self.segmenter.frozen and settings.scaling == "standardise":
            first = self._batches(range(BATCHES))
            standardise_features(self.segmenter, (pixels.to(device, non_blocking=True) for pixels, _ in first))
        self.segmenter.train()
        steps = range(self.iteration, settings.iterations)
        with fixed_shapes():
            for pixels, targets in progress(self._batches(steps), "train segmenter", total=len(steps), unit="step"):
                for group in self._optimizer.param_groups:
                    group["lr"] = learning_rate(self.iteration, settings)
                scores = self._module(pixels.to(device, non_blocking=True))  # (N, classes, H, W)
                loss = segmentation_loss(scores, targets.to(device, non_blocking=True))
                self._optimizer.zero_grad()
                self._fabric.backward(loss)
                self._optimizer.step()
                self.iteration += 1
                self._watch(loss.detach())
                if after is not None:
                    after(self)
        return self.history

    def _batches(self, steps: range) -> Iterator[tuple[Tensor, Tensor]]:
        """This process' share of the batches of steps."""
        fabric, size = self._fabric, self._settings.batch_size
        own = block_of_rank(size, fabric.global_rank, fabric.world_size)
        return self._crops.batches(steps, size, self._workers, own, fabric.device.type == "cuda")

    def _zero(self) -> Tensor:
        device = self._fabric.device
        return torch.zeros((), dtype=sum_dtype(device), device=device)

    def _watch(self, loss: Tensor) -> None:
        """Add up the loss, on the device; look at the sum, and wait for it, at every tenth of the training."""
        settings = self._settings
        # The mean over all processes at every step, so that the first one's state is that of all.
        self._loss_sum = self._loss_sum + (all_reduce(loss) / self._fabric.world_size).to(self._loss_sum.dtype)
        self._summed += 1
        if self.iteration % max(1, settings.iterations // _WATCHED) and self.iteration != settings.iterations:
            return
        mean = float(self._loss_sum) / self._summed
        if not math.isfinite(mean):
            raise UserError(
                f"segmentation.learning_rate = {settings.learning_rate}: the loss is not finite at step "
                f"{self.iteration}; a lower rate is needed"
            )
        rate = self._optimizer.param_groups[0]["lr"]
        self.history.append({"iteration": self.iteration, "learning_rate": rate, "loss": mean})
        self._loss_sum, self._summed = self._zero(), 0
