"""What the parts of ``benchmarks.imagenet`` share: the context of a stage over generated artifacts, and its row."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.measuring import Part
from pipeline_lib.params.params import load_params
from pipeline_lib.params.presets import load_presets
from stages._context import StageContext

PRESET = "thesis-imagenet"
NAME = "generated"
_MARGIN = 0.5
"""Share of the time that is left up to which a whole stage is run, since what it takes is an estimate."""


def context_of(part: Part, stage: str, **changes: Any) -> StageContext:
    """The stage with the thesis' settings for ImageNet, the sizes that were asked for, and ``changes`` of the rest.

    Args:
        part: The part; artifacts lie in its folder.
        stage: Name of the stage.
        changes: Values by parameter, ``__`` for the dot.
    """
    settings = {key: value for key, value in load_presets().settings([PRESET]).items() if "suite." not in key}
    settings |= {
        f"datasets.{NAME}": {"source": "folder", "classes": part.options["classes"]},
        "train_heads.heads": part.options["heads"],
        "knn.k_min": min(50, part.options["images"] // part.options["classes"] // 4),
        "machine.device": "cpu" if part.device.type == "cpu" else "cuda",
    }
    settings |= {key.replace("__", "."): value for key, value in changes.items()}
    return StageContext(stage, load_params(changes=settings), NAME, NAME, root=part.folder)


def stage_row(
    part: Part,
    stage: str,
    *,
    measured: float,
    share: float = 1.0,
    whole: float | None = None,
    grows_with: str,
    written: Path | None = None,
    **further: Any,
) -> None:
    """Tell what a stage takes.

    Args:
        part: The part.
        stage: Its name.
        measured: Seconds that were measured.
        share: Share of the stage's work that was done in them.
        whole: Seconds of all of it; None: those measured.
        grows_with: What the seconds grow with.
        written: Folder of the artifact that the stage itself wrote.
        further: Further measures.
    """
    part.row(
        stage,
        measured_seconds=measured,
        measured_share=share,
        seconds=measured if whole is None else whole,
        extrapolated=whole is not None,
        grows_with=grows_with,
        written_gib=None if written is None else folder_bytes(written) / 2**30,
        **part.peaks(),
        **further,
    )


def fits(part: Part, seconds: float) -> bool:
    """Whether what is expected to take ``seconds`` can still be run."""
    return seconds < _MARGIN * part.left()


def run_whole(part: Part, run: Callable[[StageContext], None], context: StageContext) -> float:
    """Seconds of a whole stage."""
    part.reset_peak()
    return part.seconds(lambda: run(context))


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
