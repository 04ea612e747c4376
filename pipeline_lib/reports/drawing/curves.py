"""The training of the heads: the loss of each, and how even the class prior stays."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from pipeline_lib.reports.drawing.panels import ACCENT, FAINT, Panel


def training_panels(history: Sequence[Mapping[str, Any]], best_head: int, classes: int) -> list[Panel]:
    """Panels of the losses and of the prior's entropy.

    Args:
        history: One row an epoch, at least one, with ``epoch``, ``head_loss`` (H values) and ``prior_entropy`` (nats).
        best_head: Number of the head to highlight.
        classes: Number of classes K; ln K is the entropy of a uniform prior.
    """
    first, last = history[0]["head_loss"][best_head], history[-1]["head_loss"][best_head]
    losses = (
        f"Loss of {len(history[0]['head_loss'])} heads over {len(history)} epochs; "
        f"head {best_head}, the best, goes from {first:.3f} to {last:.3f}."
    )
    entropy = (
        f"Entropy of the class prior, {history[-1]['prior_entropy']:.3f} nats at the end; "
        f"uniform is {math.log(classes):.3f}."
    )
    return [
        Panel("loss", lambda axes: _draw_losses(axes, history, best_head), losses),
        Panel("prior", lambda axes: _draw_prior_entropy(axes, history, classes), entropy),
    ]


def _draw_losses(axes: Axes, history: Sequence[Mapping[str, Any]], best_head: int) -> None:
    epochs = [row["epoch"] for row in history]
    losses = np.asarray([row["head_loss"] for row in history], dtype=np.float64)  # (E, H)
    others = np.delete(losses, best_head, axis=1)
    marker = _marker(history)
    lines = axes.plot(epochs, others, color=FAINT, linewidth=0.6, marker=marker)
    if lines:
        lines[0].set_label(f"other {len(lines)} heads" if len(lines) > 1 else "other head")
    axes.plot(epochs, losses[:, best_head], color=ACCENT, marker=marker, label=f"head {best_head}, the best")
    axes.legend(loc="upper right", reverse=True)
    axes.set(title="Loss of each head", xlabel="epoch", ylabel="loss")
    axes.xaxis.set_major_locator(whole_numbers())


def _draw_prior_entropy(axes: Axes, history: Sequence[Mapping[str, Any]], classes: int) -> None:
    uniform = math.log(classes)
    axes.axhline(uniform, color=FAINT, linestyle="--", linewidth=1, label=f"uniform: ln {classes}")
    epochs, entropy = [row["epoch"] for row in history], [row["prior_entropy"] for row in history]
    axes.plot(epochs, entropy, color=ACCENT, marker=_marker(history), label="mean of the heads")
    axes.legend(loc="lower right", reverse=True)
    # From zero: a tiny dip below ln K is not to look like a collapse.
    axes.set(title="Entropy of the class prior", xlabel="epoch", ylabel="nats", ylim=(0, max(uniform, *entropy) * 1.08))
    axes.xaxis.set_major_locator(whole_numbers())


def whole_numbers() -> MaxNLocator:
    """Ticks at whole numbers only."""
    return MaxNLocator(nbins=6, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1)


def _marker(history: Sequence[Mapping[str, Any]]) -> str:
    # One epoch makes no line.
    return "o" if len(history) == 1 else ""
