import json
import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline_lib.backbones.preprocessing import Preprocessing
from pipeline_lib.base.errors import UserError


def picture(height: int, width: int) -> Image.Image:
    values = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


def test_crop_is_resize_of_the_shorter_side_then_centre() -> None:
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    made = Preprocessing(28, 28, crop_fraction=0.875, mean=mean, std=std).transform("image_size")(picture(64, 96))
    expected = picture(64, 96).resize((48, 32), Image.Resampling.BICUBIC).crop((10, 2, 38, 30))
    values = (np.asarray(expected, dtype=np.float64) / 255 - mean) / std
    np.testing.assert_allclose(made.numpy(), values.transpose(2, 0, 1), atol=1e-5)


def test_squash_keeps_the_whole_image() -> None:
    made = Preprocessing(8, 8, "squash", interpolation="bilinear").transform("image_size")(picture(20, 31))
    expected = np.asarray(picture(20, 31).resize((8, 8), Image.Resampling.BILINEAR), dtype=np.float64) / 255
    np.testing.assert_allclose(made.numpy(), expected.transpose(2, 0, 1), atol=1e-6)


def test_native_images_are_taken_as_they_are() -> None:
    made = Preprocessing(5, 7, "native").transform("image_size")(picture(5, 7))
    np.testing.assert_allclose(made.numpy(), np.asarray(picture(5, 7)).transpose(2, 0, 1) / 255.0, atol=1e-7)
    grey = Preprocessing(5, 7, "native").transform("image_size")(picture(5, 7).convert("L"))
    assert grey.shape == (3, 5, 7)
    assert torch.equal(grey[0], grey[2])


def test_a_native_image_of_another_size_names_the_parameter() -> None:
    transform = Preprocessing(5, 7, "native").transform("backbones.pixels.image_size")
    with pytest.raises(UserError, match=r"backbones\.pixels\.image_size is not set .*5 x 7 and 6 x 7"):
        transform(picture(6, 7))


def test_fields_are_json_and_come_back() -> None:
    wanted = Preprocessing(224, 224, crop_fraction=0.9, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
    assert Preprocessing.from_fields(json.loads(json.dumps(wanted.as_fields()))) == wanted


@pytest.mark.parametrize("fit", ["crop", "native"])
def test_transforms_can_be_sent_to_worker_processes(fit: str) -> None:
    transform = Preprocessing(16, 16, fit).transform("image_size")  # type: ignore[arg-type]
    again = pickle.loads(pickle.dumps(transform))
    assert torch.equal(again(picture(16, 16)), transform(picture(16, 16)))
