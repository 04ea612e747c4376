"""What a report says of the pretrainings: which networks, for how long, and whether their embeddings collapsed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline_lib.artifacts.checkpoint import Checkpoint


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
