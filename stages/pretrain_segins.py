"""Pretrain with instance discrimination and a segmentation branch that learns pseudo-masks (thesis 3.2)."""

from __future__ import annotations

from pipeline_lib.artifacts.dataset import open_dataset
from pipeline_lib.artifacts.masks import open_masks
from stages._context import SegInsContext, run_segins_stage
from stages._pretraining import train


def run(context: SegInsContext) -> None:
    """Train on the data set's images and the pseudo-masks that the baseline gave."""
    masks = open_masks(context.masks())
    masks.check_belongs_to(open_dataset(context.images()))
    train(context, "segins", context.params.segins, masks)


if __name__ == "__main__":
    run_segins_stage(run, "pretrain_segins", "Pretrain a ResNet with SegIns.", ("data", "method"))
