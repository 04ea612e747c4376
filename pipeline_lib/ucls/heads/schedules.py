"""Length of head training, and how rates and weights change over it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pipeline_lib.ucls.heads.settings import HeadSettings


@dataclass(frozen=True)
class Schedule:
    """Lengths and rates that follow from the settings and the number of images.

    Attributes:
        epochs: Number of epochs.
        steps: Iterations an epoch.
        warmup: Warm-up iterations.
        peak_rate: Highest learning rate, scaled by the batch size.
        final_rate: Learning rate at the end.
        teacher_momentum: Momentum of the teacher.
    """

    epochs: int
    steps: int
    warmup: int
    peak_rate: float
    final_rate: float
    teacher_momentum: float

    @property
    def iterations(self) -> int:
        """Iterations in all."""
        return self.epochs * self.steps

    @classmethod
    def of(cls, settings: HeadSettings, steps: int, batch_size: int) -> Schedule:
        """Schedule of ``steps`` iterations an epoch of ``batch_size`` pairs."""
        epochs = settings.epochs or -(-settings.iterations // steps)
        total = epochs * steps
        momentum = settings.teacher_momentum
        return cls(
            epochs=epochs,
            steps=steps,
            warmup=round(settings.warmup * total),
            peak_rate=settings.learning_rate * batch_size / 256,
            final_rate=settings.final_learning_rate * batch_size / 256,
            teacher_momentum=fitted_teacher_momentum(total) if momentum == "auto" else momentum,
        )

    def learning_rate(self, iteration: int) -> float:
        """Rate of an iteration, counted from 0 (:func:`learning_rate`)."""
        return learning_rate(iteration, self.iterations, self.warmup, self.peak_rate, self.final_rate)


def learning_rate(iteration: int, total: int, warmup: int, peak: float, final: float) -> float:
    """Linear warm-up from zero, then cosine to ``final``, stepped every iteration (thesis 6.4.1.1).

    As in TEMI's cosine_scheduler (utils.py): the first iteration has a rate of zero, the last of the warm-up the peak.

    Args:
        iteration: Index of the iteration, from 0.
        total: Number of iterations.
        warmup: Number of warm-up iterations.
        peak: Rate at the end of the warm-up.
        final: Rate at the end of training.

    Returns:
        The rate of this iteration.
    """
    if iteration < warmup:
        return peak * iteration / max(1, warmup - 1)
    progress = (iteration - warmup) / max(1, total - warmup)
    return final + (peak - final) * 0.5 * (1 + math.cos(math.pi * progress))


def increasing_weight(iteration: int, total: int, final: float) -> float:
    """Cosine-increasing factor of a term of the loss, from 0 to ``final`` (lambda of thesis Eq. 5.12).

    Args:
        iteration: Index of the iteration, from 0.
        total: Number of iterations.
        final: Factor at the end of training (0.5 for the thesis' cross-entropy term).

    Returns:
        The factor of this iteration.
    """
    return final * 0.5 * (1 - math.cos(math.pi * iteration / max(1, total)))


def fitted_teacher_momentum(total: int) -> float:
    """Momentum of the moving average whose memory is a twentieth of the training, and at most TEMI's 250 iterations.

    TEMI's 0.996 remembers 250 iterations. A small data set trains for a thousand or so in all; a teacher that slow
    never gets far from the start.

    Args:
        total: Number of iterations.

    Returns:
        Momentum in [0, 0.996].
    """
    memory = min(250.0, max(1.0, total / 20))
    return 1 - 1 / memory
