import math
import sys

import numpy as np
import pytest
import torch

from pipeline_lib.segins.transfer.detection.region_alignment import align_by_products, align_regions


def sample(cells: np.ndarray, y: float, x: float) -> float:
    height, width = cells.shape
    if not (-1 <= y <= height and -1 <= x <= width):
        return 0.0
    y, x = min(max(y, 0.0), height - 1), min(max(x, 0.0), width - 1)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    dy, dx = y - top, x - left
    above = (1 - dx) * cells[top, left] + dx * cells[top, right]
    below = (1 - dx) * cells[bottom, left] + dx * cells[bottom, right]
    return float((1 - dy) * above + dy * below)


def naive(maps: np.ndarray, regions: np.ndarray, size: int, scale: float) -> np.ndarray:
    """RoIAlign of the paper, sample by sample."""
    result = np.zeros((len(regions), maps.shape[1], size, size))
    for number, (row, *corners) in enumerate(regions):
        x0, y0, x1, y1 = (side * scale - 0.5 for side in corners)
        high, wide = (y1 - y0) / size, (x1 - x0) / size
        rows, columns = math.ceil(high), math.ceil(wide)
        for channel, i, j in np.ndindex(maps.shape[1], size, size):
            values = [
                sample(
                    maps[int(row), channel], y0 + (i + (a + 0.5) / rows) * high, x0 + (j + (b + 0.5) / columns) * wide
                )
                for a in range(rows)
                for b in range(columns)
            ]
            result[number, channel, i, j] = np.mean(values)
    return result


REGIONS = [
    [1, 3.0, 5.0, 60.0, 70.0],
    [0, 0.0, 0.0, 128.0, 96.0],  # the whole image, several samples a bin
    [1, 100.0, 80.0, 127.5, 95.5],  # at the border
    [0, 40.0, 40.0, 41.0, 90.0],  # thin
    [0, 120.0, 90.0, 160.0, 140.0],  # partly outside
]


def test_products_equal_the_samples_one_by_one() -> None:
    maps = torch.randn(2, 3, 6, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    regions = torch.tensor(REGIONS, dtype=torch.float64)
    expected = naive(maps.numpy(), regions.numpy(), 3, 1 / 16)
    np.testing.assert_allclose(align_by_products(maps, regions, 3, 1 / 16).numpy(), expected, atol=1e-12)
    np.testing.assert_allclose(align_regions(maps, regions, 3, 1 / 16).numpy(), expected, atol=1e-12)


def test_products_and_their_gradient_equal_those_of_torchvision() -> None:
    import pipeline_lib.base.torchvision_import  # noqa: F401

    eager = sys.modules["torchvision.ops.roi_align"]._roi_align.__wrapped__  # type: ignore[attr-defined]
    draw = torch.Generator().manual_seed(1)
    maps = torch.randn(2, 4, 6, 8, generator=draw, requires_grad=True)
    regions = torch.tensor(REGIONS[:4])
    weights = torch.randn(4, 4, 5, 5, generator=draw)
    own = align_by_products(maps, regions, 5, 1 / 16)
    other = eager(maps, regions, 1 / 16, 5, 5, 0, True)
    torch.testing.assert_close(own, other, atol=1e-5, rtol=1e-5)
    gradients = [torch.autograd.grad((each * weights).sum(), maps)[0] for each in (own, other)]
    torch.testing.assert_close(*gradients, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("size", [2, 14])
def test_no_regions_give_no_features(size: int) -> None:
    assert align_by_products(torch.zeros(1, 3, 4, 4), torch.zeros(0, 5), size, 0.1).shape == (0, 3, size, size)
