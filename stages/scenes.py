"""Generate the scenes: the embedded default data set of the SegIns chain, in VOC's layout."""

from __future__ import annotations

from pipeline_lib.images.scenes.writing import write_scenes
from stages._context import SegInsContext, run_segins_stage


def run(context: SegInsContext) -> None:
    """Write ``data/raw/scenes``."""
    counts = write_scenes(context.root / "data" / "raw" / "scenes", context.params.scenes)
    context.report(f"{counts['scenes']} scenes with {counts['objects']} objects")


if __name__ == "__main__":
    run_segins_stage(run, "scenes", "Generate scenes with true boxes and masks.", ())
