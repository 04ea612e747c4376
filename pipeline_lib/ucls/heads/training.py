"""The training loop of the multi-head classifier: student by gradient, teacher by moving average."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline_lib.base.errors import UserError
from pipeline_lib.base.freed_memory import keep_freed_memory
from pipeline_lib.base.progress import progress
from pipeline_lib.base.runtime import all_reduce
from pipeline_lib.ucls.heads.alignment import matching_order, renumber_classes
from pipeline_lib.ucls.heads.components import PrincipalComponents
from pipeline_lib.ucls.heads.feature_rows import FeatureRows
from pipeline_lib.ucls.heads.model import HeadShape, MultiHeadClassifier, follow
from pipeline_lib.ucls.heads.objective import Objective, TermWeights
from pipeline_lib.ucls.heads.pairs import PairSampler
from pipeline_lib.ucls.heads.schedules import Schedule, increasing_weight
from pipeline_lib.ucls.heads.settings import HeadSettings
from pipeline_lib.ucls.heads.start import place_prototypes


@dataclass
class TrainedHeads:
    """What training hands over.

    Attributes:
        student: Student after the last iteration.
        teacher: Teacher after the last iteration.
        head_loss: Mean loss of each head over the last epoch, (H,), on the CPU.
        history: One row an epoch.
    """

    student: MultiHeadClassifier
    teacher: MultiHeadClassifier
    head_loss: Tensor
    history: list[dict[str, Any]] = field(default_factory=list)

    @property
    def best_head(self) -> int:
        """Head with the lowest training loss over the last epoch (thesis 5.2; no labels)."""
        return int(self.head_loss.argmin())


class HeadTrainer:
    """Trains the heads epoch by epoch; its state can be stored between epochs and taken up again bit by bit.

    Args:
        fabric: A launched Fabric.
        settings: Settings.
        shape: Sizes of the classifier.
        sampler: Pairs of each epoch; its seed is that of the initial weights too.
        features: Feature rows on the training device.
        start: Cluster of every training row for each head to start its prototypes at, (H, n); None for a random start.
    """

    def __init__(
        self,
        fabric: Fabric,
        settings: HeadSettings,
        shape: HeadShape,
        sampler: PairSampler,
        features: FeatureRows,
        start: NDArray[np.int64] | None = None,
    ) -> None:
        if settings.precision == "auto":
            raise ValueError("precision = auto: the caller says which precision it takes")
        if fabric.device.type == "cpu":
            keep_freed_memory()
        self.fabric = fabric
        self.settings = settings
        self.sampler = sampler
        self.features = features
        self.schedule = Schedule.of(settings, sampler.batches, sampler.batch_size)
        self.epoch = 0
        self.history: list[dict[str, Any]] = []
        self.head_loss = torch.zeros(shape.heads)
        student = MultiHeadClassifier(shape, torch.Generator().manual_seed(sampler.seed))
        reduction = student.reduction
        reduced = features.fit_components(reduction) if isinstance(reduction, PrincipalComponents) else None
        if not isinstance(student.normalisation, nn.Identity):
            student.normalisation.fit(*(reduced or features.moments()))
        student.to(fabric.device)
        if start is not None:
            place_prototypes(student, features, start)
        self.teacher = student.teacher()
        uniform = torch.full((shape.heads, shape.classes), 1 / shape.classes, device=fabric.device)
        self.objective = Objective(settings, prior=uniform, class_shares=uniform)
        optimizer = torch.optim.AdamW(
            [
                {"params": student.decayed_parameters(), "weight_decay": settings.weight_decay},
                {"params": student.undecayed_parameters(), "weight_decay": 0.0},
            ],
            lr=self.schedule.peak_rate,
            fused=True,
        )
        self.student, self.optimizer = fabric.setup(student, optimizer)

    @property
    def plain_student(self) -> MultiHeadClassifier:
        """The student without Fabric's wrappers."""
        module: nn.Module = self.student.module
        inner = getattr(module, "module", module)
        if not isinstance(inner, MultiHeadClassifier):
            raise TypeError(f"unexpected student module {type(inner)}")
        return inner

    @property
    def position(self) -> str:
        """Epochs that are done."""
        return f"after epoch {self.epoch} of {self.schedule.epochs}"

    def state(self) -> dict[str, Any]:
        """Everything that the next epoch depends on."""
        return {
            "epoch": self.epoch,
            "student": self.plain_student.state_dict(),
            "teacher": self.teacher.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "prior": self.objective.prior,
            "class_shares": self.objective.class_shares,
            "head_loss": self.head_loss,
            "history": self.history,
        }

    def resume(self, state: dict[str, Any]) -> None:
        """Take up training after the epoch that ``state`` was stored at."""
        self.epoch = state["epoch"]
        self.plain_student.load_state_dict(state["student"])
        self.teacher.load_state_dict(state["teacher"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.objective.prior = state["prior"].to(self.fabric.device)
        self.objective.class_shares = state["class_shares"].to(self.fabric.device)
        self.head_loss = state["head_loss"]
        self.history = state["history"]

    def run(self, after: Callable[[Self], None] | None = None) -> TrainedHeads:
        """Train to the end.

        Args:
            after: Called after every epoch, for example to store the state.

        Returns:
            The trained heads.

        Raises:
            UserError: The loss stopped being finite.
        """
        remaining = range(self.epoch, self.schedule.epochs)
        bar = progress(remaining, "train heads", unit="epoch")
        for _ in bar:
            row = self._one_epoch()
            self.history.append(row)
            bar.set_postfix(loss=f"{row['loss']:.4f}")
            if after is not None:
                after(self)
        return TrainedHeads(self.plain_student, self.teacher, self.head_loss, self.history)

    def _one_epoch(self) -> dict[str, Any]:
        total = torch.zeros_like(self.head_loss, device=self.fabric.device)
        for step, (images, neighbors) in enumerate(self._batches()):
            total += self.step(self.epoch * self.schedule.steps + step, images, neighbors)
        self.head_loss = (all_reduce(total) / self.fabric.world_size / self.schedule.steps).cpu()
        if not bool(self.head_loss.isfinite().all()):
            raise UserError(
                f"train_heads.learning_rate = {self.settings.learning_rate}: the loss is not finite in epoch "
                f"{self.epoch}; a lower rate or precision = float32 is needed"
            )
        self.epoch += 1
        if self.objective.met is not None:
            self._align(all_reduce(self.objective.met))
        entropy = -(self.objective.prior * self.objective.prior.log()).sum(dim=-1)
        return {
            "epoch": self.epoch,
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            "loss": float(self.head_loss.mean()),
            "best_head_loss": float(self.head_loss.min()),
            "prior_entropy": float(entropy.mean()),
            "head_loss": [round(float(value), 6) for value in self.head_loss],
        }

    def _align(self, met: Tensor) -> None:
        """Renumber the classes of all heads to fit those of the first, with all that is kept by class."""
        order = matching_order(met)
        renumber_classes(self.plain_student, order, self.optimizer)
        renumber_classes(self.teacher, order, None)
        self.objective.prior = self.objective.prior.gather(1, order)
        self.objective.class_shares = self.objective.class_shares.gather(1, order)
        self.objective.met = None

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        for rows, neighbors in self.sampler.epoch(self.epoch, self.fabric.global_rank, self.fabric.world_size):
            gathered = self.features(neighbors.ravel()).view(*neighbors.shape, -1)  # (b, M, D)
            yield self.features(rows), gathered

    def step(self, iteration: int, images: Tensor, neighbors: Tensor) -> Tensor:
        """One iteration.

        Args:
            iteration: Its index over all epochs.
            images: Features, (B, D).
            neighbors: Features of M neighbours an image, (B, M, D).

        Returns:
            Mean loss of each head, (H,), on the training device.
        """
        schedule, settings = self.schedule, self.settings
        rate = schedule.learning_rate(iteration)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        weights = TermWeights(
            cross_entropy=increasing_weight(iteration, schedule.iterations, settings.cross_entropy),
            alignment=increasing_weight(iteration, schedule.iterations, settings.alignment),
        )
        # Fabric's own mixed precision would round the features to bfloat16 before they are normalised.
        with torch.autocast(self.fabric.device.type, torch.bfloat16, enabled=settings.precision == "bfloat16"):
            losses = self.objective.head_losses(self.student, self.teacher, images, neighbors, weights)
        self.fabric.backward(losses.mean())
        if self.epoch < settings.frozen_prototype_epochs:
            self.plain_student.prototypes.grad = None
            self.plain_student.prototype_length.grad = None
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        follow(self.teacher, self.plain_student, schedule.teacher_momentum)
        return losses.detach()
