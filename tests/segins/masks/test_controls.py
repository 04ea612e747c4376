import math

import pytest

from pipeline_lib.segins.masks.controls import centre_ellipse, whole_image


@pytest.mark.parametrize("share", [0.1, 0.3, math.pi / 4])
@pytest.mark.parametrize(("height", "width"), [(400, 400), (300, 500)])
def test_the_ellipse_covers_its_share_and_stands_in_the_middle(height: int, width: int, share: float) -> None:
    mask = centre_ellipse(height, width, share)
    assert mask.shape == (height, width)
    assert mask.mean() == pytest.approx(share, abs=0.005)
    assert (mask == mask[::-1]).all()
    assert (mask == mask[:, ::-1]).all()


def test_the_whole_image_is_foreground() -> None:
    assert whole_image(3, 5).all()
    assert whole_image(3, 5).shape == (3, 5)
