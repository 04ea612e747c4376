"""Part ``evaluate``: the whole stage."""

from __future__ import annotations

from benchmarks.imagenet_parts.stage_runs import context_of, run_whole, stage_row
from benchmarks.measuring import Part
from stages import evaluate


def run(part: Part) -> None:
    """Run it."""
    context = context_of(part, "evaluate")
    seconds = run_whole(part, evaluate.run, context)
    stage_row(part, "evaluate", measured=seconds, grows_with="images")
