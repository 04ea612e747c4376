"""The trained heads: student and teacher as safetensors, head losses and history."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from pipeline_lib.artifacts.folder import new_folder, read_meta, write_json, write_meta

KIND = "heads"
SCHEMA = 1


@dataclass(frozen=True)
class Heads:
    """An opened heads artifact.

    Attributes:
        folder: Its folder.
        shape: Sizes of the classifier by name (features, classes, heads, ...).
        blocks: Feature blocks that the heads take, in column order.
        head_loss: Training loss of each head over the last epoch.
        best_head: Head with the lowest loss.
        temperature: Temperature of the student's softmax.
    """

    folder: Path
    shape: dict[str, Any]
    blocks: tuple[str, ...]
    head_loss: list[float]
    best_head: int
    temperature: float

    def student(self) -> dict[str, Tensor]:
        """State dict of the student."""
        return load_file(self.folder / "student.safetensors")

    def teacher(self) -> dict[str, Tensor]:
        """State dict of the teacher."""
        return load_file(self.folder / "teacher.safetensors")

    def history(self) -> list[dict[str, Any]]:
        """One row an epoch."""
        rows: list[dict[str, Any]] = json.loads((self.folder / "history.json").read_text())["epochs"]
        return rows


def _history_table(history: Sequence[Mapping[str, Any]]) -> str:
    columns = [name for name in history[0] if name != "head_loss"]
    lines = ["\t".join(columns)]
    lines += ["\t".join(f"{row[name]:.6g}" for name in columns) for row in history]
    return "\n".join(lines) + "\n"


def write_heads(
    folder: Path,
    *,
    student: Mapping[str, Tensor],
    teacher: Mapping[str, Tensor],
    shape: Mapping[str, Any],
    blocks: Sequence[str],
    temperature: float,
    head_loss: Sequence[float],
    history: Sequence[Mapping[str, Any]],
    made_by: Mapping[str, Any],
) -> None:
    """Write the artifact.

    Args:
        folder: Target folder.
        student: State dict of the student.
        teacher: State dict of the teacher.
        shape: Sizes of the classifier.
        blocks: Feature blocks that the heads take.
        temperature: Temperature of the student's softmax.
        head_loss: Loss of each head over the last epoch, (H,).
        history: One row an epoch; ``head_loss`` in it is a list and goes to the JSON only.
        made_by: Stage, parameters and seed.
    """
    with new_folder(folder) as temporary:
        for name, state in (("student", student), ("teacher", teacher)):
            save_file({k: v.detach().cpu().contiguous() for k, v in state.items()}, temporary / f"{name}.safetensors")
        write_json(temporary / "history.json", {"epochs": list(history)})
        (temporary / "history.tsv").write_text(_history_table(history))
        best = min(range(len(head_loss)), key=lambda head: head_loss[head])
        fields = {
            "shape": dict(shape),
            "blocks": list(blocks),
            "head_loss": [float(value) for value in head_loss],
            "best_head": best,
            "temperature": temperature,
        }
        write_meta(temporary, KIND, SCHEMA, made_by, fields)


def open_heads(folder: Path) -> Heads:
    """Open the artifact.

    Raises:
        MissingFileError: There is none in ``folder``.
        UserError: It is another artifact, of another version, or cut short.
    """
    meta = read_meta(folder, KIND, SCHEMA)
    return Heads(
        folder, meta["shape"], tuple(meta["blocks"]), meta["head_loss"], meta["best_head"], meta["temperature"]
    )
