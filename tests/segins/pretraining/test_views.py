import numpy as np
import pytest
import torch
from pretraining_settings import pretrain_settings
from torchvision.transforms.v2 import functional as reference

from pipeline_lib.segins.pretraining.draws import DRAWS_PER_VIEW, Crop, drawn_crop, uniform_draws
from pipeline_lib.segins.pretraining.views import ViewMaker, cut_out, resized_mask, stacked_mask

CPU = torch.device("cpu")


def picture(row):
    """A textured image of a size of its own, with a bright, rectangular object and its mask."""
    rng = np.random.default_rng(row)
    height, width = 60 + 7 * (row % 3), 80 - 9 * (row % 4)
    image = rng.integers(0, 80, (height, width, 3), dtype=np.uint8)
    mask = np.zeros((height, width), dtype=bool)
    top, left = 5 + row % 11, 10 + row % 17
    mask[top : top + 28, left : left + 31] = True
    image[mask] = 255
    return image, mask


def read(row):
    return stacked_mask(*picture(row))


def views_of(rows, settings, epoch=0, mask_size=8, seed=0):
    maker = ViewMaker(read, settings, mask_size, seed)
    return maker.raw(epoch, np.asarray(rows)), maker


def test_a_mask_lands_on_the_pixels_it_was_drawn_on_in_every_view():
    raw, maker = views_of(range(40), pretrain_settings(local_crops=1), mask_size=16)
    for view in range(2):
        crops = raw.crops[view]
        bright, mask = crops[:, :3].float().mean(dim=1) / 255, crops[:, 3].float() / 255
        # The object is white on dark; the same resampling makes both alike but for the texture around it.
        assert ((bright > 0.66) == (mask > 0.5)).float().mean() > 0.99
        shares = mask.mean(dim=(1, 2))
        assert shares.max() - shares.min() > 0.3
        finished = maker.finished(raw, CPU)
        assert finished.masks[view].shape == (40, 1, 16, 16)
        cells = torch.nn.functional.avg_pool2d(mask[:, None], 2)
        assert torch.equal(finished.masks[view], (cells >= 0.5).float())
    assert raw.crops[2].shape == (40, 3, 32, 32)


def test_a_smaller_mask_is_brought_to_the_image_first():
    image, mask = picture(3)
    small = mask[::2, ::2]
    stacked = stacked_mask(image, small)
    assert stacked.shape == (4, *mask.shape)
    assert ((stacked[3] > 0).numpy() == mask).mean() > 0.95
    assert np.array_equal(stacked[:3].permute(1, 2, 0).numpy(), image)


@pytest.mark.parametrize("flip", [False, True])
def test_a_crop_is_torchvisions(flip):
    image = read(1)[:3]
    found = cut_out(image, Crop(3, 5, 40, 30, flip), 32)
    expected = reference.resized_crop(image, 3, 5, 40, 30, [32, 32], antialias=True)
    expected = reference.horizontal_flip(expected) if flip else expected
    assert (found.int() - expected.int()).abs().max() <= 1


def test_views_depend_on_seed_epoch_and_image_alone():
    settings = pretrain_settings(local_crops=1)
    together, maker = views_of([4, 9, 2], settings)
    alone, _ = views_of([9], settings)
    for view in range(3):
        assert torch.equal(together.crops[view][1], alone.crops[view][0])
        assert np.array_equal(together.draws[view][1], alone.draws[view][0])
    colours = maker.finished(together, CPU).images[0][1]
    torch.testing.assert_close(colours, maker.finished(alone, CPU).images[0][0])
    assert not torch.equal(together.crops[0][1], together.crops[1][1])
    for other in (views_of([9], settings, epoch=1)[0], views_of([9], settings, seed=1)[0]):
        assert not torch.equal(other.crops[0], alone.crops[0])


def test_draws_are_uniform_and_independent_between_images_and_epochs():
    draws = uniform_draws(0, 0, np.arange(4000), 8)
    assert draws.min() >= 0
    assert draws.max() < 1
    assert np.abs(draws.mean(axis=0) - 0.5).max() < 0.02
    assert np.abs(draws.var(axis=0) - 1 / 12).max() < 0.005
    others = np.concatenate([draws[1:], uniform_draws(0, 1, np.arange(3999), 8)], axis=1)
    correlation = np.corrcoef(np.concatenate([draws[:-1], others], axis=1).T) - np.eye(24)
    assert np.abs(correlation).max() < 0.08


def test_crops_have_the_areas_and_ratios_that_are_asked_for():
    draws = uniform_draws(0, 0, np.arange(3000), DRAWS_PER_VIEW)
    crops = [drawn_crop(row, 300, 300, (0.2, 0.8)) for row in draws]
    area = np.array([crop.height * crop.width for crop in crops]) / 300**2
    ratio = np.array([crop.width / crop.height for crop in crops])
    assert area.min() > 0.19
    assert area.max() < 0.82
    assert abs(area.mean() - 0.5) < 0.02
    assert ratio.min() > 0.74
    assert ratio.max() < 1.35
    assert abs(np.log(ratio).mean()) < 0.02
    assert all(0 <= crop.top <= 300 - crop.height and 0 <= crop.left <= 300 - crop.width for crop in crops)
    assert abs(np.mean([crop.flip for crop in crops]) - 0.5) < 0.03


@pytest.mark.parametrize(("height", "width", "expected"), [(10, 100, (10, 13)), (100, 10, (13, 10))])
def test_where_no_crop_fits_the_middle_is_taken(height, width, expected):
    crop = drawn_crop(np.full(DRAWS_PER_VIEW, 0.99), height, width, (0.99, 1.0))
    assert (crop.height, crop.width) == expected
    assert (crop.top, crop.left) == ((height - crop.height) // 2, (width - crop.width) // 2)


def test_masks_are_resized_by_majority():
    mask = torch.zeros(1, 1, 4, 4, dtype=torch.uint8)
    mask[0, 0, :2, 0] = 255  # half of the first cell
    mask[0, 0, 2, 2] = 255  # a quarter of the last one
    assert resized_mask(mask, 2)[0, 0].tolist() == [[1, 0], [0, 0]]
