"""Fine-tuning of a detector with MoCo's settings: all layers, batch statistics, warm-up and steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Self

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from pipeline_lib.base.errors import UserError
from pipeline_lib.base.progress import progress
from pipeline_lib.base.runtime import all_reduce
from pipeline_lib.segins.pretraining.batch_norm import synchronised
from pipeline_lib.segins.transfer.detection.batch_statistics import refresh_statistics
from pipeline_lib.segins.transfer.detection.detector import Detector
from pipeline_lib.segins.transfer.detection.grouping import group_size, training_batches
from pipeline_lib.segins.transfer.detection.samples import TrainingSamples
from pipeline_lib.segins.transfer.detection.targets import ImageGroup
from pipeline_lib.segins.transfer.settings import DetectionSettings

MOMENTUM = 0.9
WEIGHT_DECAY = 1e-4
WARMUP_FACTOR = 1e-3
_WATCHED = 20


def learning_rate(iteration: int, settings: DetectionSettings) -> float:
    """Rate of a step: linear growth from a thousandth, then a tenth after each milestone."""
    factor = 1.0
    if iteration < settings.warmup:
        factor = WARMUP_FACTOR + (1 - WARMUP_FACTOR) * iteration / settings.warmup
    passed = sum(iteration >= round(share * settings.iterations) for share in settings.milestones)
    return settings.learning_rate * factor * 0.1**passed


def parameter_groups(module: nn.Module) -> list[dict[str, Any]]:
    """All parameters, those of normalisation layers without weight decay."""
    norms = [p for layer in module.modules() if isinstance(layer, _BatchNorm) for p in layer.parameters()]
    known = {id(parameter) for parameter in norms}
    others = [parameter for parameter in module.parameters() if id(parameter) not in known]
    return [{"params": others, "weight_decay": WEIGHT_DECAY}, {"params": norms, "weight_decay": 0.0}]


class DetectionTrainer:
    """Trains step by step; its state can be stored between steps and taken up again bit by bit."""

    def __init__(
        self, fabric: Fabric, settings: DetectionSettings, detector: Detector, samples: TrainingSamples, workers: int
    ) -> None:
        """Prepare the optimiser.

        Args:
            fabric: A launched Fabric.
            settings: Settings.
            detector: The detector to train, changed in place.
            samples: What it is trained on; their seed is that of the steps too.
            workers: Processes that decode; 0: this one does.

        Raises:
            UserError: The processes cannot share a batch.
        """
        group_size(settings.batch_size, fabric.world_size)
        synchronised(detector, fabric.device)
        self.fabric = fabric
        self.settings = settings
        self.detector = detector
        self.samples = samples
        self._workers = workers
        self.iteration = 0
        self.history: list[dict[str, Any]] = []
        self._sums: dict[str, Tensor] = {}
        self._summed = 0
        self._refreshed = False
        optimizer = torch.optim.SGD(parameter_groups(detector), lr=settings.learning_rate, momentum=MOMENTUM)
        self._module, self._optimizer = fabric.setup(detector, optimizer)

    @property
    def position(self) -> str:
        """Steps that are done."""
        return f"after step {self.iteration} of {self.settings.iterations}"

    def state(self) -> dict[str, Any]:
        """Everything that the next step depends on, the same in every process."""
        return {
            "iteration": self.iteration,
            "detector": self.detector.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "history": self.history,
            "sums": self._sums,
            "summed": self._summed,
            "refreshed": self._refreshed,
        }

    def resume(self, state: dict[str, Any]) -> None:
        """Take up training after the step that ``state`` was stored at."""
        self.iteration = state["iteration"]
        self.detector.load_state_dict(state["detector"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.history = state["history"]
        self._sums = {name: value.to(self.fabric.device) for name, value in state["sums"].items()}
        self._summed = state["summed"]
        self._refreshed = state["refreshed"]

    def run(self, after: Callable[[Self], None] | None = None) -> list[dict[str, Any]]:
        """Train to the end and take the statistics of batch normalisation anew.

        Args:
            after: Called after every step, for example to store the state.

        Returns:
            One row for every twentieth of the training: step, rate and the mean losses since the row before.

        Raises:
            UserError: A loss stopped being finite.
        """
        self.detector.train()
        steps = range(self.iteration, self.settings.iterations)
        batches = self._batches(steps) if steps else ()
        for batch in progress(batches, "train detector", total=len(steps), unit="step"):
            self._step(batch)
            if after is not None:
                after(self)
        if not self._refreshed:
            more = range(self.settings.iterations, self.settings.iterations + self.settings.precise_batches)
            refresh_statistics(self.detector, self._batches(more), self._forward)
            self._refreshed = True
        return self.history

    def _batches(self, steps: range) -> Iterator[list[ImageGroup]]:
        fabric, size = self.fabric, self.settings.batch_size
        on_cuda = fabric.device.type == "cuda"
        rank, processes = fabric.global_rank, fabric.world_size
        return training_batches(self.samples, steps, size, rank, processes, self._workers, on_cuda)

    def _forward(self, batch: list[ImageGroup]) -> dict[str, Tensor]:
        losses: dict[str, Tensor] = self._module([group.to(self.fabric.device) for group in batch])
        return losses

    def _step(self, batch: list[ImageGroup]) -> None:
        settings, fabric = self.settings, self.fabric
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate(self.iteration, settings)
        losses = self._forward(batch)
        total = torch.stack(list(losses.values())).sum()
        fabric.backward(total)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        # Means over all processes at every step, so that the first one's state is that of all.
        means = all_reduce(torch.stack(list(losses.values())).detach()) / fabric.world_size
        for name, value in zip(losses, means, strict=True):
            self._sums[name] = self._sums.get(name, torch.zeros_like(value)) + value
        self._summed += 1
        self.iteration += 1
        if self.iteration % max(1, settings.iterations // _WATCHED) == 0 or self.iteration == settings.iterations:
            self._watch()

    def _watch(self) -> None:
        means = {name: float(value) / self._summed for name, value in self._sums.items()}
        if not all(value == value and abs(value) != float("inf") for value in means.values()):
            raise UserError(
                f"detection.learning_rate = {self.settings.learning_rate}: the loss is not finite at step "
                f"{self.iteration}; a lower rate or a longer warm-up is needed"
            )
        row: dict[str, Any] = {"iteration": self.iteration, "learning_rate": self._optimizer.param_groups[0]["lr"]}
        self.history.append(row | {"loss": sum(means.values())} | means)
        self._sums = {}
        self._summed = 0
