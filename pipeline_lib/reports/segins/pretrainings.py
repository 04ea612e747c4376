"""The pretrainings: which networks, for how long, whether they collapsed, and curves of what was watched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes

from pipeline_lib.artifacts.checkpoint import Checkpoint
from pipeline_lib.reports.drawing.curves import whole_numbers
from pipeline_lib.reports.drawing.panels import ACCENT, MUTED, SMALL_TEXT, Panel

_FEW = 12
_WATCHED = (
    ("id_loss", "Instance discrimination loss"),
    ("seg_loss", "Segmentation loss"),
    ("embedding_std", "Spread of embeddings (0: collapsed)"),
    ("oracle_knn_acc", "k-NN accuracy on val, with labels"),
)


def network_text(checkpoints: Mapping[str, Checkpoint], origins: Mapping[str, Mapping[str, Any]]) -> str:
    """Networks of this run and the length of their pretraining, where it was made here."""
    networks = ", ".join(dict.fromkeys(found.architecture for found in checkpoints.values()))
    trained = (origins[name]["settings"].get("pretrain", {}).get("epochs") for name in checkpoints)
    epochs = dict.fromkeys(number for number in trained if number is not None)
    plural = "" if list(epochs) == [1] else "s"
    return f"{networks}, {', '.join(map(str, epochs))} epoch{plural}" if epochs else networks


def collapsed(checkpoint: Checkpoint) -> bool:
    """Whether the last look at a checkpoint's embeddings found them collapsed."""
    return bool(checkpoint.history and checkpoint.history[-1].get("collapsed"))


def pretraining_panels(histories: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Panel]:
    """One panel a watched value, a line a pretraining.

    Args:
        histories: History of each checkpoint, by its name; those without one are left out.
    """
    panels = []
    for key, title in _WATCHED:
        lines = {
            name: [(entry["epoch"], entry[key]) for entry in history if entry.get(key) is not None]
            for name, history in histories.items()
        }
        lines = {name: points for name, points in lines.items() if points and (key != "seg_loss" or "segins" in name)}
        if lines:
            last = ", ".join(f"{name} {points[-1][1]:.3f}" for name, points in lines.items())
            panels.append(Panel(key.replace("_", "-"), _drawing(title, lines), f"{title} at the end: {last}."))
    return panels


def _drawing(title: str, lines: Mapping[str, Sequence[tuple[int, float]]]) -> Any:
    def draw(axes: Axes) -> None:
        for number, (name, points) in enumerate(lines.items()):
            segins = name.endswith("segins")
            axes.plot(
                *zip(*points, strict=True),
                "-" if segins else "--",
                color=ACCENT if name.startswith("moco") else MUTED,
                label=name,
                # Few points are markers that differ without their lines.
                marker=("o" if segins else "s") if len(points) <= _FEW else "",
                markerfacecolor=None if segins else "none",
                zorder=2 + number,
            )
        axes.set(title=title, xlabel="epoch")
        axes.xaxis.set_major_locator(whole_numbers())
        axes.legend(fontsize=SMALL_TEXT)

    return draw
