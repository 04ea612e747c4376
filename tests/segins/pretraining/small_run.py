"""A small data set and pretrainings of it, for the tests of the loop."""

import io

import numpy as np
import torch
from PIL import Image
from pretraining_settings import moco_settings, pretrain_settings, segins_settings, simsiam_settings

from pipeline_lib.artifacts.dataset import open_dataset
from pipeline_lib.artifacts.dataset_writer import DatasetWriter
from pipeline_lib.artifacts.masks import open_masks, write_masks
from pipeline_lib.base import runtime
from pipeline_lib.images.decoding import decode
from pipeline_lib.segins.pretraining.run import build_pretrainer

MADE_BY = {"stage": "test"}


def write_images(folder, train=24, val=8, side=40):
    """Noise of two brightnesses, which are the classes."""
    rng = np.random.default_rng(0)
    with DatasetWriter(folder / "images", ["dark", "bright"], None, MADE_BY) as writer:
        for number, split in enumerate(["train"] * train + ["val"] * val):
            label = number % 2
            pixels = rng.integers(100 * label, 100 * label + 100, (side, side + 4, 3), dtype=np.uint8)
            buffer = io.BytesIO()
            Image.fromarray(pixels).save(buffer, format="PNG")
            writer.add(number, split, image=buffer.getvalue(), label=label, class_name=["dark", "bright"][label])
    return open_dataset(folder / "images")


def write_pseudo_masks(folder, dataset):
    rng = np.random.default_rng(1)
    masks = (rng.random((20, 22)) > 0.5 for _ in dataset.ids("train"))
    write_masks(folder / "masks", masks, dataset, source="contracam", threshold=0.5, made_by=MADE_BY)
    return open_masks(folder / "masks")


def pretrainer(folder, method, segins=False, own=None, memory=1 << 30, workers=0, device="cpu", **changes):
    """A pretraining of the data set of :func:`write_images`, which is made where it is missing."""
    dataset = open_dataset(folder / "images") if (folder / "images").exists() else write_images(folder)
    masks = None
    if segins:
        masks = open_masks(folder / "masks") if (folder / "masks").exists() else write_pseudo_masks(folder, dataset)
    settings = pretrain_settings(**changes)
    chosen = (simsiam_settings if method == "simsiam" else moco_settings)(**(own or {}))
    fabric = runtime.start(device, settings.precision, 0)
    branch = segins_settings() if segins else None
    return build_pretrainer(fabric, settings, method, chosen, branch, dataset, masks, decode, 0, memory, workers)


def weights(trainer):
    return {key: value.clone() for key, value in trainer.method.network.state_dict().items()}


def same_weights(found, expected):
    return all(torch.equal(found[key], expected[key]) for key in expected)
