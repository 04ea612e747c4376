import colorsys
import math

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline_lib.segins.transfer.segmentation.distortion import distorted
from pipeline_lib.segins.transfer.segmentation.training import segmentation_loss


class Given:
    """Draws that are given: coins in the order brightness, contrast, contrast first, saturation, hue; then values."""

    def __init__(self, coins, values=()):
        self._coins, self._values = iter(coins), iter(values)

    def random(self):
        return 0.1 if next(self._coins) else 0.9

    def uniform(self, low, high):
        value = next(self._values)
        assert low <= value <= high
        return value


def picture():
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 11, 3), dtype=np.uint8))


def changed(coins, values):
    return np.asarray(distorted(picture(), Given(coins, values))).astype(float)


def test_without_draws_nothing_changes():
    np.testing.assert_array_equal(changed([0, 0, 0, 0, 0], []), np.asarray(picture()))


def test_brightness_is_added_and_contrast_multiplied():
    pixels = np.asarray(picture()).astype(float)
    np.testing.assert_allclose(changed([1, 0, 0, 0, 0], [20.5]), np.clip(pixels + 20.5, 0, 255), atol=1)
    np.testing.assert_allclose(changed([0, 1, 1, 0, 0], [1.4]), np.clip(pixels * 1.4, 0, 255), atol=1)
    np.testing.assert_allclose(changed([1, 1, 0, 0, 0], [-20.0, 0.6]), np.clip(pixels - 20, 0, 255) * 0.6, atol=1)


@pytest.mark.parametrize(("factor", "turn"), [(0.6, 0.0), (1.4, 0.0), (1.0, 0.08), (0.7, -0.1)])
def test_saturation_and_hue_are_those_of_a_naive_version(factor, turn):
    found = changed([0, 0, 0, 1, 1], [factor, turn])
    for own, pixel in zip(found.reshape(-1, 3), np.asarray(picture()).reshape(-1, 3), strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*(pixel / 255))
        expected = colorsys.hsv_to_rgb((hue + turn) % 1, min(1, saturation * factor), value)
        # Hues and saturations are held in 8 bits.
        np.testing.assert_allclose(own, 255 * np.array(expected), atol=8)


def test_contrast_comes_before_or_after_the_colours():
    first, last = (changed([0, 1, order, 1, 0], [1.5, 1.5]) for order in (1, 0))
    assert not np.array_equal(first, last)


def test_draws_of_a_seed_are_equal():
    first, second = (np.asarray(distorted(picture(), np.random.default_rng(4))) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_the_loss_is_divided_by_all_pixels():
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(2, 3, 4, 5, generator=generator, dtype=torch.float64)
    targets = torch.randint(0, 3, (2, 4, 5), generator=generator)
    targets[:, :2] = 255
    total = 0.0
    for image in range(2):
        for row in range(2, 4):
            for column in range(5):
                values = scores[image, :, row, column].tolist()
                total += math.log(sum(map(math.exp, values))) - values[int(targets[image, row, column])]
    assert float(segmentation_loss(scores, targets)) == pytest.approx(total / 40)


def test_a_batch_in_which_no_pixel_counts_has_no_loss():
    scores = torch.randn(1, 3, 4, 4, requires_grad=True)
    loss = segmentation_loss(scores, torch.full((1, 4, 4), 255))
    torch.autograd.backward(loss)
    assert float(loss) == 0.0
    assert scores.grad is not None
    assert not scores.grad.any()
