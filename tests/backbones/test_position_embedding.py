import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from pipeline_lib.backbones.position_embedding import resampled_position_embedding


def cubic_weights(old: int, new: int, scale: float) -> NDArray[np.float64]:
    """Matrix (new, old) of cubic convolution with a = -0.75, edges repeated, half-pixel centres."""
    a = -0.75
    weights = np.zeros((new, old))
    for row in range(new):
        position = (row + 0.5) / scale - 0.5
        base = int(np.floor(position))
        for tap in range(base - 1, base + 3):
            t = abs(position - tap)
            inner = (a + 2) * t**3 - (a + 3) * t**2 + 1
            outer = a * t**3 - 5 * a * t**2 + 8 * a * t - 4 * a
            weights[row, min(max(tap, 0), old - 1)] += inner if t <= 1 else outer if t < 2 else 0
    return weights


@pytest.mark.parametrize(("old", "new"), [(37, 16), (5, 3), (4, 9)])
def test_dino_style_has_an_offset_and_no_antialiasing(old: int, new: int) -> None:
    embedding = torch.randn(1, 1 + old * old, 3, generator=torch.Generator().manual_seed(0))
    result = resampled_position_embedding(embedding, (new, new), 1, dino_style=True)
    weights = cubic_weights(old, new, (new + 0.1) / old)
    grid = embedding[0, 1:].double().numpy().reshape(old, old, 3)
    expected = np.einsum("ia,jb,abc->ijc", weights, weights, grid).reshape(new * new, 3)
    np.testing.assert_allclose(result[0, 1:].numpy(), expected, atol=1e-5)
    torch.testing.assert_close(result[:, :1], embedding[:, :1])


@pytest.mark.parametrize(("old", "new"), [(37, 16), (5, 3), (4, 9)])
def test_the_other_style_is_antialiased_as_pillow_does_it(old: int, new: int) -> None:
    embedding = torch.randn(1, old * old, 2, generator=torch.Generator().manual_seed(0))
    result = resampled_position_embedding(embedding, (new, new), 0, dino_style=False).numpy()
    for channel in range(2):
        picture = Image.fromarray(embedding[0, :, channel].numpy().reshape(old, old))
        expected = np.asarray(picture.resize((new, new), Image.Resampling.BICUBIC))
        np.testing.assert_allclose(result[0, :, channel].reshape(new, new), expected, atol=1e-5)


def test_the_same_grid_is_left_alone() -> None:
    embedding = torch.randn(1, 1 + 16, 3)
    assert resampled_position_embedding(embedding, (4, 4), 1, dino_style=True) is embedding


def test_positions_that_make_no_square_are_left_for_the_shape_check() -> None:
    embedding = torch.randn(1, 1 + 15, 3)
    assert resampled_position_embedding(embedding, (4, 4), 1, dino_style=True) is embedding
