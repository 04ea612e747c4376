import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from objects_kit import write_objects
from PIL import Image

from pipeline_lib.artifacts.checkpoint import write_checkpoint
from pipeline_lib.artifacts.dataset_writer import DatasetWriter
from pipeline_lib.artifacts.objects import encoded_png
from pipeline_lib.params.params import load_params
from pipeline_lib.segins.resnet.build import build_resnet
from pipeline_lib.segins.transfer.settings import DetectionSettings

TINY = {
    "iterations": 4,
    "batch_size": 2,
    "warmup": 2,
    "short_sides": (32, 48),
    "longest_side": 64,
    "anchor_sizes": (16, 24),
    "anchors": 16,
    "rois": 4,
    "region_size": 4,
    "training_proposals": 20,
    "proposals": 5,
    "precise_batches": 2,
    "test_images": None,
}


@pytest.fixture
def settings(repository: Path) -> Callable[..., DetectionSettings]:
    """Settings of a detector that trains in a second, with changes."""

    def make(**changes: object) -> DetectionSettings:
        base = load_params(repository / "params.yaml").detection.model_dump()
        return DetectionSettings(**(base | TINY | changes))

    return make


@pytest.fixture
def squares(tmp_path: Path) -> Path:
    """Root with ``data/annotated/squares`` (bright squares on dark ground, two classes) and a checkpoint ``random``."""
    draw = np.random.default_rng(0)
    rows = []
    folder = tmp_path / "data" / "annotated" / "squares"
    with DatasetWriter(folder / "images", ["red", "green"], None, {}) as writer:
        for number in range(10):
            split = "train" if number < 6 else "val"
            pixels = draw.integers(0, 40, (40, 48, 3)).astype(np.uint8)
            side, x, y, label = (int(draw.integers(*span)) for span in ((12, 24), (0, 24), (0, 16), (0, 2)))
            pixels[y : y + side, x : x + side, label] = 250
            mask = np.zeros((40, 48), bool)
            mask[y : y + side, x : x + side] = True
            content = io.BytesIO()
            Image.fromarray(pixels).save(content, format="PNG")
            writer.add(number, split, image=content.getvalue())
            if number != 2:  # one image has no object
                box = {"x0": x, "y0": y, "x1": x + side, "y1": y + side}
                facts = {"id": number, "split": split, "label": label, "difficult": False, "crowd": False}
                rows.append(facts | box | {"mask": encoded_png(mask)})
    write_objects(folder / "objects", rows, [], ["red", "green"], {})
    torch.manual_seed(0)
    write_checkpoint(
        tmp_path / "data" / "checkpoints" / "squares" / "random",
        architecture="resnet18",
        method=None,
        origin="random",
        backbone=build_resnet("resnet18").state_dict(),
        projector=None,
        history=[],
        made_by={},
    )
    return tmp_path
