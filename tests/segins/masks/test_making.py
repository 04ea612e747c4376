"""Masks of whole data sets: what comes out, in which size, and that it depends on nothing that it should not."""

from typing import Any

import numpy as np
import pytest
import torch
from discs import COUNT, HEIGHT, WIDTH, disc_mask, image_of
from torch import nn

from pipeline_lib.base import runtime
from pipeline_lib.base.errors import UserError
from pipeline_lib.segins.masks.batches import ImageInput, image_batches
from pipeline_lib.segins.masks.collecting import CollectedMasks
from pipeline_lib.segins.masks.contracam import contracam
from pipeline_lib.segins.masks.controls import whole_image
from pipeline_lib.segins.masks.network import EmbeddingNetwork
from pipeline_lib.segins.masks.sources import PseudoMask, contracam_masks, control_masks, resized_map, tokencut_masks
from pipeline_lib.segins.resnet.build import build_resnet

INPUT = ImageInput(64, 64, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def batches(longest_side: int = 64, workers: int = 0) -> Any:
    return image_batches(COUNT, image_of, INPUT, batch_size=4, longest_side=longest_side, seed=0, workers=workers)


def network() -> EmbeddingNetwork:
    torch.manual_seed(0)
    return EmbeddingNetwork(build_resnet("resnet18"), nn.Linear(512, 16), 2)


def test_contracam_of_a_data_set_is_that_of_its_batches() -> None:
    fabric = runtime.start("cpu")
    made = {
        mask.row: mask
        for mask in contracam_masks(fabric, network(), batches(), iterations=2, positive="image", threshold=0.5)
    }
    assert sorted(made) == list(range(COUNT))
    for batch in batches():
        maps = contracam(network(), batch.images, iterations=2)
        for number, row in enumerate(batch.rows[: batch.wanted]):
            np.testing.assert_array_equal(made[row].soft, resized_map(maps[number, 0], (HEIGHT, WIDTH)))
            np.testing.assert_array_equal(made[row].mask, made[row].soft > 0.5)
            assert made[row].image_size == (HEIGHT, WIDTH)


class Colours(nn.Module):
    """Features of a patch: its mean colour."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        pooled = nn.functional.avg_pool2d(images, 8)  # (B, 3, h, w)
        return pooled.flatten(2).transpose(1, 2)


def test_tokencut_finds_discs_by_their_colour() -> None:
    fabric = runtime.start("cpu")
    for made in tokencut_masks(fabric, Colours(), (8, 8), batches(longest_side=32), similarity=0.2):
        assert made.mask.shape == made.soft.shape == (24, 32)
        assert 0 <= made.soft.min() < made.soft.max() <= 1
        truth = disc_mask(made.row)[1::2, 1::2]
        assert (made.mask & truth).sum() / (made.mask | truth).sum() > 0.4


def test_a_control_has_the_size_of_the_image() -> None:
    assert all(made.mask.shape == (HEIGHT, WIDTH) and made.mask.all() for made in control_masks(batches(), whole_image))


def test_masks_come_back_in_order_with_their_measures() -> None:
    collected = CollectedMasks(3, lambda *_: None, 0.3, [1])
    empty, full = np.zeros((3, 5), dtype=bool), np.ones((2, 2), dtype=bool)
    half = np.arange(8).reshape(2, 4) % 2 == 0
    given = {2: half, 0: empty, 1: full}
    collected.add_all(PseudoMask(row, mask.shape, mask.astype(np.float32), mask) for row, mask in given.items())
    expected = {"images": 3, "foreground_share": 0.5, "empty_masks": 1, "full_masks": 1}
    assert collected.metrics() == expected | {"images_with_masks": 0, "images_with_boxes": 0}
    assert collected.summary() == "3 images, foreground 0.50; no truth to score with"
    assert list(collected.samples) == [1]
    for mask, wanted in zip(collected.in_order(), (empty, full, half), strict=True):
        np.testing.assert_array_equal(mask, wanted)


def test_a_missing_mask_is_refused() -> None:
    collected = CollectedMasks(2, lambda *_: None, 0.3, [])
    with pytest.raises(UserError, match="made 1 for 2 images"):
        collected.add_all([PseudoMask(0, (1, 1), np.ones((1, 1), dtype=np.float32), np.ones((1, 1), dtype=bool))])
