import io
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline_lib.images.decoding import UndecodableImageError, decode, decode_with_mode, upright_size

RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)


def saved(image: Image.Image, image_format: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format=image_format, **options)
    return stream.getvalue()


def pixels(encoded: bytes) -> np.ndarray:
    image = decode(encoded)
    assert image.mode == "RGB"
    return np.asarray(image)


def test_grey_is_repeated_in_three_channels() -> None:
    grey = np.array([[0, 7, 255]], dtype=np.uint8)
    assert (pixels(saved(Image.fromarray(grey), "PNG")) == grey[:, :, None]).all()


def test_black_and_white() -> None:
    image = Image.fromarray(np.array([[True, False]]))
    assert decode_with_mode(saved(image, "PNG")).mode == "1"
    assert pixels(saved(image, "PNG")).tolist() == [[[255] * 3, [0] * 3]]


@pytest.mark.parametrize("image_format", ["PNG", "TIFF"])
def test_16_bit_grey_is_scaled_not_clipped(image_format: str) -> None:
    values = np.array([[0, 257, 300, 25700, 32768, 65535]], dtype=np.uint16)
    encoded = saved(Image.fromarray(values), image_format)
    assert decode_with_mode(encoded).mode.startswith("I")
    assert pixels(encoded)[0, :, 1].tolist() == [0, 1, 1, 100, 128, 255]


def test_16_bit_grey_in_big_endian_bytes() -> None:
    values = np.array([[0, 25700, 65535]], dtype=">u2")
    portable_map = b"P5 3 1 65535\n" + values.tobytes()
    assert pixels(portable_map)[0, :, 0].tolist() == [0, 100, 255]


def test_floating_point_from_0_to_1_and_beyond() -> None:
    unit = np.array([[0.0, 0.4, 1.0]], dtype=np.float32)
    wide = np.array([[-100.0, 20.0, 100.0, np.nan]], dtype=np.float32)
    assert pixels(saved(Image.fromarray(unit), "TIFF"))[0, :, 0].tolist() == [0, 102, 255]
    assert pixels(saved(Image.fromarray(wide), "TIFF"))[0, :, 0].tolist() == [0, 153, 255, 0]


def test_32_bit_integers_beyond_16_bits_are_stretched() -> None:
    values = np.array([[0, 40_000, 200_000]], dtype=np.int32)
    assert pixels(saved(Image.fromarray(values), "TIFF"))[0, :, 0].tolist() == [0, 51, 255]


def test_constant_values_without_a_range_are_black() -> None:
    assert pixels(saved(Image.fromarray(np.full((2, 2), 7.0, dtype=np.float32)), "TIFF")).max() == 0


def test_transparency_is_laid_over_white() -> None:
    rgba = np.array([[[255, 0, 0, 255], [255, 0, 0, 0], [0, 0, 0, 127]]], dtype=np.uint8)
    grey_alpha = np.array([[[0, 255], [0, 0]]], dtype=np.uint8)
    assert pixels(saved(Image.fromarray(rgba), "PNG")).tolist() == [[list(RED), list(WHITE), [128, 128, 128]]]
    assert pixels(saved(Image.fromarray(grey_alpha), "PNG")).tolist() == [[[0, 0, 0], list(WHITE)]]


def test_palette_with_and_without_transparency() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([*RED, *BLUE])
    image.putpixel((1, 0), 1)
    assert pixels(saved(image, "PNG")).tolist() == [[list(RED), list(BLUE)]]
    assert pixels(saved(image, "PNG", transparency=1)).tolist() == [[list(RED), list(WHITE)]]


def test_transparent_colour_of_an_rgb_file() -> None:
    image = Image.fromarray(np.array([[RED, BLUE]], dtype=np.uint8))
    assert pixels(saved(image, "PNG", transparency=BLUE)).tolist() == [[list(RED), list(WHITE)]]


def test_cmyk() -> None:
    image = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    assert pixels(saved(image, "TIFF"))[0, 0].tolist() == list(RED)
    jpeg = pixels(saved(image, "JPEG", quality=100))[4, 4].astype(int)
    assert np.abs(jpeg - RED).max() <= 3


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int) -> None:
    upright = np.arange(6, dtype=np.uint8).reshape(2, 3) * 40
    # How a camera that states this orientation stores the upright picture.
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright),
        7: np.rot90(upright, 2).T,
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    encoded = saved(Image.fromarray(np.ascontiguousarray(stored)), "PNG", exif=exif)
    assert (pixels(encoded)[:, :, 0] == upright).all()


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_damaged_exif_leaves_the_picture() -> None:
    encoded = saved(Image.new("RGB", (8, 8), RED), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01")
    assert decode(encoded).size == (8, 8)


def test_first_frame_of_an_animation() -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in (RED, BLUE)]
    encoded = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert pixels(encoded)[0, 0].tolist() == list(RED)


def test_truncated_file_is_named(broken_jpeg: bytes, tmp_path: Path) -> None:
    path = tmp_path / "cut.jpg"
    path.write_bytes(broken_jpeg)
    with pytest.raises(UndecodableImageError, match=r"cut\.jpg: cannot be decoded \(.*truncated"):
        decode(path)
    with pytest.raises(UndecodableImageError, match=r"^train row 3: cannot be decoded"):
        decode(broken_jpeg, "train row 3")


@pytest.mark.parametrize("content", [b"", b"no image at all", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_image_is_refused(content: bytes) -> None:
    with pytest.raises(UndecodableImageError, match="no known image format"):
        decode(content)


def test_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UndecodableImageError, match=r"gone\.png: no such file"):
        decode(tmp_path / "gone.png")


def test_decompression_bomb_is_refused(monkeypatch: pytest.MonkeyPatch, encode: Callable[..., bytes]) -> None:
    encoded = encode(RED, size=(100, 100))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(UndecodableImageError, match="exceeds limit"):
        decode(encoded)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP", "PPM"])
def test_damaged_files_give_one_kind_of_error(image_format: str) -> None:
    rng = np.random.default_rng(1)
    good = saved(Image.fromarray(rng.integers(0, 256, (9, 7, 3), dtype=np.uint8)), image_format)
    refused = 0
    for _ in range(150):
        damaged = np.frombuffer(good, dtype=np.uint8).copy()
        damaged[rng.integers(0, min(len(good), 80), 3)] = rng.integers(0, 256, 3)
        try:
            assert decode(damaged.tobytes()).mode == "RGB"
        except UndecodableImageError:
            refused += 1
    assert refused > 0


def test_message_survives_a_worker_process() -> None:
    assert str(pickle.loads(pickle.dumps(UndecodableImageError("a.png: bad")))) == "a.png: bad"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_size_in_the_head_is_that_of_the_decoded_image(orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    encoded = saved(Image.new("RGB", (9, 5)), "JPEG", exif=exif)
    (tmp_path / "a.jpg").write_bytes(encoded)
    assert upright_size(encoded, "a") == upright_size(tmp_path / "a.jpg", "a") == decode(encoded).size


def test_what_has_no_size_is_named(tmp_path: Path) -> None:
    with pytest.raises(UndecodableImageError, match=r"^train, id 3: cannot be decoded"):
        upright_size(b"no image", "train, id 3")
    with pytest.raises(UndecodableImageError, match=r"^gone: no such file$"):
        upright_size(tmp_path / "gone.jpg", "gone")
