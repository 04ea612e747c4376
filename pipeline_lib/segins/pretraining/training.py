"""The training loop of both methods, with and without the segmentation branch."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Self

import torch
from lightning_fabric import Fabric
from torch import Tensor

from pipeline_lib.base.errors import UserError
from pipeline_lib.base.progress import progress
from pipeline_lib.base.runtime import all_reduce, fixed_shapes, sum_dtype
from pipeline_lib.segins.pretraining.batches import BatchOrder, ViewBatches
from pipeline_lib.segins.pretraining.method import Method
from pipeline_lib.segins.pretraining.methods import MethodSettings
from pipeline_lib.segins.pretraining.monitor import Monitor
from pipeline_lib.segins.pretraining.rates import set_rates, sgd
from pipeline_lib.segins.pretraining.settings import PretrainSettings
from pipeline_lib.segins.pretraining.views import ViewMaker, Views

_REFERENCE_BATCH = 256
COLLAPSED_BELOW = 0.1
"""Spread of embeddings under which a run counts as collapsed; 1 is that of directions spread evenly."""


@dataclass(frozen=True)
class Timing:
    """Where the time of training went.

    Attributes:
        seconds: Seconds of training, without looks of the monitor.
        waited: Seconds of these that were spent waiting for views.
        images: Images that were trained on, over all processes.
    """

    seconds: float
    waited: float
    images: int

    def text(self) -> str:
        """Share of waiting and images a second, for the stage's last line."""
        seconds = max(self.seconds, 1e-9)
        return f"{self.images / seconds:.0f} images/s, {self.waited / seconds:.1%} of the time waiting for data"


class Pretrainer:
    """Trains step by step; its state can be stored after any step and taken up again bit by bit.

    Attributes:
        epoch: Epochs that are done.
        step: Steps of the current epoch that are done.
        history: One row a look of the monitor.

    Args:
        fabric: A launched Fabric.
        method: Network and losses.
        settings: Settings of pretraining.
        optimisation: Settings of the method, of which rate, momentum and weight decay count here.
        maker: Makes the views.
        batches: Which images each step works on.
        monitor: Looks at the network now and then.
        workers: Processes that decode and crop; 0: this one does.
    """

    def __init__(
        self,
        fabric: Fabric,
        method: Method[Any],
        settings: PretrainSettings,
        optimisation: MethodSettings,
        maker: ViewMaker,
        batches: BatchOrder,
        monitor: Monitor,
        workers: int,
    ) -> None:
        self.fabric = fabric
        self.method = method
        self.settings = settings
        self.epoch = 0
        self.step = 0
        self.history: list[dict[str, Any]] = []
        self._maker = maker
        self._batches = batches
        self._monitor = monitor
        self._workers = workers
        self._peak = optimisation.learning_rate * settings.batch_size / _REFERENCE_BATCH
        self._sums = self._zeros()
        self._watched = 0.0
        method.network.to(fabric.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        method.to(fabric.device)
        optimizer = sgd(method.parameter_groups(), self._peak, optimisation.momentum, optimisation.weight_decay)
        self._forward, self._optimizer = fabric.setup(method.network, optimizer)
        method.network.train()

    @property
    def position(self) -> str:
        """The epoch that training is in, or that it has ended."""
        epochs = self.settings.epochs
        return f"in epoch {self.epoch + 1} of {epochs}" if self.epoch < epochs else f"after the last of {epochs} epochs"

    def state(self) -> dict[str, Any]:
        """Everything that the next step depends on, the same in every process."""
        return {
            "epoch": self.epoch,
            "step": self.step,
            "sums": self._sums,
            "history": self.history,
            "network": self.method.network.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "method": self.method.state(),
        }

    def resume(self, state: dict[str, Any]) -> None:
        """Take up training after the step that ``state`` was stored at."""
        self.epoch, self.step = state["epoch"], state["step"]
        self._sums = state["sums"].to(self._sums)
        self.history = state["history"]
        self.method.network.load_state_dict(state["network"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.method.load_state(state["method"])

    def steps(self) -> Iterator[float]:
        """Train step by step to the end.

        Yields:
            After every step, the seconds that it waited for views.

        Raises:
            UserError: An image cannot be read, or the loss stopped being finite.
        """
        settings, accumulate = self.settings, self.settings.accumulate
        if self.epoch == self.step == 0:
            self.method.before_training(self._views(1))
        views = self._views(settings.epochs)
        upcoming = iter(views)
        while self.epoch < settings.epochs:
            waited_before = views.waited
            set_rates(self._optimizer, self._peak, self.epoch, settings.epochs)
            for part in range(accumulate):
                self._part(next(upcoming), part)
            self._optimizer.step()
            self._optimizer.zero_grad(set_to_none=True)
            self.method.after_batch()
            self.step += 1
            if self.step == self._batches.steps:
                self._end_epoch()
            yield views.waited - waited_before

    def run(self, after: Callable[[Self], None] | None = None) -> Timing:
        """Train to the end.

        Args:
            after: Called after every step, for example to store the state.

        Returns:
            Where the time went.

        Raises:
            UserError: An image cannot be read, or the loss stopped being finite.
        """
        steps = self._batches.steps
        total = self.settings.epochs * steps - self.epoch * steps - self.step
        bar = progress(self.steps(), "pretrain", total=total, unit="step")
        waited, watched, started = 0.0, self._watched, time.perf_counter()
        with fixed_shapes():
            for seconds in bar:
                waited += seconds
                if self.step == 0 and self.history:
                    bar.set_postfix(loss=f"{self.history[-1]['loss']:.4f}")
                if after is not None:
                    after(self)
        elapsed = time.perf_counter() - started - (self._watched - watched)
        return Timing(elapsed, waited, total * self.settings.batch_size)

    def _views(self, epochs: int) -> ViewBatches:
        """Views of the parts from here to the end of ``epochs``."""
        parts = self._batches.parts(self.epoch, self.step, epochs)
        return ViewBatches(self._maker, parts, self._workers, self.fabric.device)

    def _part(self, views: Views, part: int) -> None:
        accumulate = self.settings.accumulate
        number = (self.epoch * self._batches.steps + self.step) * accumulate + part
        generator = torch.Generator().manual_seed(self._batches.seed * 1_000_003 + number)
        last = part == accumulate - 1
        wrapped: Any = self._forward
        with self.fabric.no_backward_sync(wrapped, enabled=not last) if accumulate > 1 else nullcontext():
            losses = self.method.losses(wrapped, views, part == 0, generator)
            self.fabric.backward(losses.total / accumulate)
        self.method.after_part()
        # Means over all processes at every part, so that the first one's state is that of all; nothing waits for them.
        means = all_reduce(losses.values().float()) / self.fabric.world_size
        self._sums += means.to(self._sums.dtype) / accumulate

    def _zeros(self) -> Tensor:
        """Sums of the four losses over an epoch, on the device."""
        return torch.zeros(4, dtype=sum_dtype(self.fabric.device), device=self.fabric.device)

    def _end_epoch(self) -> None:
        means = self._sums.to(torch.float32)
        total, identity, segmentation, spread = (means / self._batches.steps).tolist()
        self.epoch, self.step = self.epoch + 1, 0
        self._sums = self._zeros()
        if not torch.tensor(total).isfinite():
            raise UserError(
                f"learning_rate: the loss is not finite in epoch {self.epoch}; a lower rate or pretrain.precision = "
                "float32 is needed"
            )
        every = self.settings.monitor_every
        if self.epoch % every and self.epoch != self.settings.epochs:
            return
        row: dict[str, Any] = {"epoch": self.epoch, "loss": total, "id_loss": identity, "seg_loss": segmentation}
        row |= {"embedding_std": spread, "collapsed": spread < COLLAPSED_BELOW}
        looked = time.perf_counter()
        row |= self._monitor(self.method.network)
        self._watched += time.perf_counter() - looked
        self.history.append(row)
        if row["collapsed"] and self.fabric.is_global_zero:
            print(
                f"warning: epoch {self.epoch}: the embeddings have collapsed (spread {spread:.3f} of 1); "
                "a lower learning rate, a larger batch or MoCo may help",
                file=sys.stderr,
            )
