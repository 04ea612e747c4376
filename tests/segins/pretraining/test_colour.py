import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as reference

from pipeline_lib.segins.pretraining import colour
from pipeline_lib.segins.pretraining.draws import DRAWS_PER_VIEW, ColourDraws, drawn_colours, uniform_draws

IMAGES = torch.rand(6, 3, 20, 20, generator=torch.Generator().manual_seed(0))
IMAGES[0, :, :5] = 0.25  # grey pixels have no hue


@pytest.mark.parametrize(
    ("adjust", "expected", "factors"),
    [
        (colour.adjust_brightness, reference.adjust_brightness, [0.6, 0.8, 1.0, 1.2, 1.3, 1.4]),
        (colour.adjust_contrast, reference.adjust_contrast, [0.6, 0.8, 1.0, 1.2, 1.3, 1.4]),
        (colour.adjust_saturation, reference.adjust_saturation, [0.6, 0.8, 1.0, 1.2, 1.3, 1.4]),
        (colour.adjust_hue, reference.adjust_hue, [-0.1, -0.03, 0.0, 0.02, 0.07, 0.1]),
    ],
)
def test_each_image_is_changed_by_its_own_factor_as_torchvision_does(adjust, expected, factors):
    found = adjust(IMAGES, torch.tensor(factors).view(-1, 1, 1, 1))
    for image, result, factor in zip(IMAGES, found, factors, strict=True):
        torch.testing.assert_close(result, expected(image, factor), atol=2e-5, rtol=0)


@pytest.mark.parametrize("side", [32, 64, 96])
def test_blur_is_torchvisions_with_a_kernel_of_a_tenth_of_the_side(side):
    images = torch.rand(3, 3, side, side)
    sigma = torch.tensor([0.1, 0.9, 2.0])
    size = 2 * colour.kernel_radius(side) + 1
    assert abs(size - side / 10) <= 2
    found = colour.blur(images, sigma)
    for image, result, s in zip(images, found, sigma.tolist(), strict=True):
        torch.testing.assert_close(result, reference.gaussian_blur(image, [size, size], [s, s]), atol=1e-5, rtol=0)


def test_changes_come_in_each_images_own_order():
    factors = np.tile(np.array([1.4, 0.6, 1.3, 0.1], dtype=np.float32), (6, 1))
    order = np.array([[0, 1, 2, 3], [3, 2, 1, 0], [1, 0, 3, 2], [2, 3, 0, 1], [0, 2, 1, 3], [3, 1, 0, 2]])
    jitter = np.array([True, True, True, True, False, True])
    grey = np.array([False, True, False, False, False, False])
    sigma = np.array([0, 0, 1.5, 0, 0, 0.7], dtype=np.float32)
    found = colour.changed_colours(IMAGES.clone(), ColourDraws(factors, order, jitter, grey, sigma))
    functions = [
        reference.adjust_brightness,
        reference.adjust_contrast,
        reference.adjust_saturation,
        reference.adjust_hue,
    ]
    for i, image in enumerate(IMAGES):
        expected = image
        for turn in order[i] if jitter[i] else []:
            expected = functions[turn](expected, float(factors[i, turn]))
        expected = reference.rgb_to_grayscale(expected, 3) if grey[i] else expected
        expected = reference.gaussian_blur(expected, [3, 3], [float(sigma[i])] * 2) if sigma[i] else expected
        torch.testing.assert_close(found[i], expected, atol=5e-5, rtol=0)


def test_shares_and_ranges_of_the_changes():
    draws = drawn_colours(uniform_draws(0, 0, np.arange(5000), DRAWS_PER_VIEW))
    assert abs(draws.jitter.mean() - 0.8) < 0.02
    assert abs(draws.grey.mean() - 0.2) < 0.02
    assert abs((draws.sigma > 0).mean() - 0.5) < 0.03
    assert draws.sigma[draws.sigma > 0].min() >= 0.1
    assert draws.sigma.max() <= 2.0
    assert (np.abs(draws.factors - [1, 1, 1, 0]).max(axis=0) <= np.array([0.4, 0.4, 0.4, 0.1]) + 1e-6).all()
    first = np.bincount(draws.order[:, 0]) / 5000
    assert np.abs(first - 0.25).max() < 0.03


def test_normalised_images_have_imagenets_statistics():
    mean, std = torch.tensor(colour.IMAGENET_MEAN), torch.tensor(colour.IMAGENET_STD)
    images = (mean + std).view(1, 3, 1, 1).expand(2, 3, 4, 4)
    torch.testing.assert_close(colour.normalised(images), torch.ones(2, 3, 4, 4))
