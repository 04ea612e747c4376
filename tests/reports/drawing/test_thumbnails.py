import base64
import io

import numpy as np
import pytest
from PIL import Image

from pipeline_lib.reports.drawing.thumbnails import QUALITIES, Thumbnails, data_uri, middle_square


def decoded(uri: str) -> Image.Image:
    head, data = uri.split(",")
    assert head == "data:image/webp;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("quality", QUALITIES)
def test_large_images_are_reduced_to_the_side(quality):
    assert decoded(data_uri(noise(200, 300), quality)).size == (quality.side, quality.side)


def test_small_images_keep_every_pixel():
    pixels = noise(8, 8)
    for quality in QUALITIES:
        assert np.array_equal(np.asarray(decoded(data_uri(pixels, quality)).convert("RGB")), np.asarray(pixels))


def test_middle_of_an_oblong_image_is_kept():
    pixels = np.zeros((60, 180, 3), np.uint8)
    pixels[:, 60:120] = (10, 200, 30)
    assert (np.asarray(middle_square(Image.fromarray(pixels), 60))[:, 3:-3] == (10, 200, 30)).all()


def test_each_image_is_read_once_and_in_row_order():
    seen = []
    thumbnails = Thumbnails([5, 2, 5, 9], lambda row: seen.append(row) or noise(40, 40))
    uris = [thumbnails.encoded(quality) for quality in QUALITIES]
    assert seen == [2, 5, 9]
    assert all(list(found) == [2, 5, 9] for found in uris)
    assert not thumbnails.pixel_art
    assert Thumbnails([0], lambda _: noise(8, 8)).pixel_art


def test_estimate_is_exact_for_equal_images_and_for_none():
    for count in (0, 1, 49, 120):
        thumbnails = Thumbnails(range(count), lambda _: noise(60, 60))
        assert thumbnails.estimated_bytes(QUALITIES[2]) == sum(map(len, thumbnails.encoded(QUALITIES[2]).values()))


def test_lower_qualities_are_smaller():
    sizes = [len(data_uri(noise(200, 200), quality)) for quality in QUALITIES]
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == len(sizes)
