"""A small data set of coloured rectangles and a random checkpoint, for the tests of the transfer stages."""

import io

import numpy as np
import torch
from objects_kit import write_objects
from PIL import Image

from pipeline_lib.artifacts.checkpoint import write_checkpoint
from pipeline_lib.artifacts.dataset_writer import DatasetWriter
from pipeline_lib.artifacts.objects import encoded_png
from pipeline_lib.segins.resnet.build import build_resnet

SMALL = {
    "linear_eval.image_size": 32,
    "linear_eval.epochs": 3,
    "machine.workers": 0,
    "machine.device": "cpu",
    "machine.checkpoint_seconds": 0.0,
    "segmentation.modes": ["frozen", "fine_tuned"],
    "segmentation.short_side": None,
    "segmentation.iterations": 4,
    "segmentation.batch_size": 2,
    "segmentation.crop_size": 32,
    "dense_probe.short_side": 64,
    "dense_probe.train_images": None,
}


def write_images(folder, with_maps=True):
    """Portraits with a red or a green rectangle, which has a box and a map."""
    maps, rows = [], []
    with DatasetWriter(folder / "images", ("red", "green"), None, {}) as writer:
        for number in range(52):
            split, label = "train" if number < 12 else "val", number % 2
            pixels = np.random.default_rng(number).integers(0, 60, (40, 36, 3), dtype=np.uint8)
            pixels[5:30, 8:28, label] = 230
            stream = io.BytesIO()
            Image.fromarray(pixels).save(stream, format="PNG")
            name = ("red", "green")[label]
            writer.add(number, split, image=stream.getvalue(), label=label, class_name=name)
            classes = np.zeros((40, 36), dtype=np.uint8)
            classes[5:30, 8:28] = 1 + label
            box = {"x0": 8, "y0": 5, "x1": 28, "y1": 30, "mask": None}
            rows.append({"id": number, "split": split, "label": label, "difficult": False, "crowd": False} | box)
            maps.append({"id": number, "split": split, "map": encoded_png(classes)})
    write_objects(folder / "objects", rows, maps if with_maps else [], ("red", "green"), {})


def write_start(folder, architecture="resnet18", weights_of=None):
    torch.manual_seed(0)
    backbone = build_resnet(weights_of or architecture).state_dict()
    write_checkpoint(
        folder,
        architecture=architecture,
        method=None,
        origin="random",
        backbone=backbone,
        projector=None,
        history=[],
        made_by={},
    )
