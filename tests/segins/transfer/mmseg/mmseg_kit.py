"""A tiny data set with maps and a checkpoint, for the tests of the export to mmsegmentation."""

import io
from pathlib import Path

import numpy as np
import torch
from objects_kit import write_objects
from PIL import Image

from pipeline_lib.artifacts.checkpoint import open_checkpoint, write_checkpoint
from pipeline_lib.artifacts.dataset import open_dataset
from pipeline_lib.artifacts.dataset_writer import DatasetWriter
from pipeline_lib.artifacts.objects import encoded_png, open_objects
from pipeline_lib.params.params import load_params
from pipeline_lib.segins.resnet.build import build_resnet

CLASSES = ("square", "disc")
SIZE = (64, 80)
MEAN, STD = (0.5, 0.4, 0.3), (0.25, 0.2, 0.3)


def settings(**changes):
    small = {"iterations": 3, "batch_size": 2, "short_side": 64, "crop_size": 64}
    small |= {"stage": "res5", "scaling": "none"}
    return load_params().segmentation.model_copy(update=small | changes)


def class_map(number):
    classes = np.zeros(SIZE, dtype=np.uint8)
    classes[10:40, 5 + number : 35 + number] = 1 + number % 2
    classes[10, :] = 255
    return classes


def encoded(number, kind):
    pixels = np.random.default_rng(number).integers(0, 90, (*SIZE, 3), dtype=np.uint8)
    pixels[class_map(number) == 1, 0] = 230
    pixels[class_map(number) == 2, 1] = 230
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format=kind)
    return stream.getvalue()


def write_data(folder: Path, kinds=("PNG",), without_map=6):
    """Six images of train and four of val; the one of the number ``without_map`` has no map."""
    maps = []
    with DatasetWriter(folder / "images", CLASSES, None, {}) as writer:
        for number in range(10):
            split = "train" if number < 6 else "val"
            writer.add(number, split, image=encoded(number, kinds[number % len(kinds)]))
            if number != without_map:
                maps.append({"id": number, "split": split, "map": encoded_png(class_map(number))})
    write_objects(folder / "objects", [], maps, CLASSES, {})
    return open_dataset(folder / "images"), open_objects(folder / "objects")


def write_start(folder: Path, architecture="resnet50"):
    """A checkpoint whose batch statistics and weights are not those of a fresh network."""
    torch.manual_seed(3)
    backbone = build_resnet(architecture)
    with torch.no_grad():
        backbone.train()(torch.randn(4, 3, 64, 64))
    write_checkpoint(
        folder,
        architecture=architecture,
        method="moco",
        origin="segins",
        backbone=backbone.state_dict(),
        projector=None,
        history=[],
        made_by={},
        mean=MEAN,
        std=STD,
    )
    return open_checkpoint(folder)
