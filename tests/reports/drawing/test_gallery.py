import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline_lib.artifacts.dataset import open_dataset
from pipeline_lib.artifacts.dataset_writer import DatasetWriter
from pipeline_lib.images.decoding import decode
from pipeline_lib.reports.drawing.gallery import (
    SIDE,
    WIDTH,
    ClusterRow,
    cluster_rows,
    thumbnail,
    write_gallery,
)
from pipeline_lib.reports.drawing.tiles import LARGEST_FILE

COLOURS = np.random.default_rng(3).integers(30, 220, (400, 3))


def plain(row: int) -> Image.Image:
    return Image.new("RGB", (SIDE, SIDE), tuple(COLOURS[row].tolist()))


def colours_in(path: Path) -> list[tuple[int, ...]]:
    """Plain colours of the thumbnails, from top to bottom and left to right."""
    picture = np.asarray(Image.open(path))
    known = {tuple(colour) for colour in COLOURS.tolist()}
    found = []
    for top in range(0, picture.shape[0] - SIDE + 1):
        for left in range(0, picture.shape[1] - SIDE + 1):
            colour = tuple(picture[top, left].tolist())
            starts = colour in known and tuple(picture[top - 1, left].tolist()) != colour
            if starts and tuple(picture[top, left - 1].tolist()) != colour:
                assert (picture[top : top + SIDE, left : left + SIDE] == colour).all()
                found.append(colour)
    return found


def drawn(path: Path, clusters: list[int], classes: int) -> list[tuple[int, ...]]:
    probability = np.linspace(1, 0.5, len(clusters))
    rows = cluster_rows(np.asarray(clusters, dtype=np.int32), probability, classes)
    write_gallery(path, rows, classes, "colours", plain)
    assert Image.open(path).width == WIDTH
    return colours_in(path)


def expected(rows: list[int]) -> list[tuple[int, ...]]:
    return [tuple(COLOURS[row].tolist()) for row in rows]


def test_rows_hold_the_extremes_of_each_cluster_largest_first():
    rng = np.random.default_rng(0)
    clusters, probability = rng.integers(0, 4, 200), rng.random(200).astype(np.float32)
    clusters[clusters == 2] = 1
    rows = cluster_rows(clusters, probability, 5)
    assert [row.count for row in rows] == sorted((np.sum(clusters == c) for c in range(5)), reverse=True)
    assert sorted(row.cluster for row in rows) == list(range(5))
    for row in rows[:3]:
        values = sorted(((-float(p), i) for i, p in enumerate(probability) if clusters[i] == row.cluster))
        assert row.most_confident == tuple(i for _, i in values[:10])
        assert row.least_confident == tuple(i for _, i in values[-2:])
        assert row.mean_probability == pytest.approx(-np.mean([v for v, _ in values]))
    assert rows[3:] == [ClusterRow(2, 0, None, (), ()), ClusterRow(4, 0, None, (), ())]


def test_ties_go_by_row_and_by_cluster():
    rows = cluster_rows(np.tile([1, 0], 12), np.ones(24, np.float32), 2)
    assert [row.cluster for row in rows] == [0, 1]
    assert rows[0].most_confident == tuple(range(1, 21, 2))
    assert rows[0].least_confident == (21, 23)


@pytest.mark.parametrize(("count", "most", "least"), [(1, 1, 0), (10, 10, 0), (11, 10, 1), (12, 10, 2), (40, 10, 2)])
def test_no_image_is_shown_twice(count, most, least):
    (row,) = cluster_rows(np.zeros(count, np.int32), np.linspace(0, 1, count), 1)
    assert (len(row.most_confident), len(row.least_confident)) == (most, least)
    assert len({*row.most_confident, *row.least_confident}) == most + least


def test_only_the_largest_clusters_are_shown():
    clusters = np.repeat(np.arange(30), np.arange(1, 31))
    rows = cluster_rows(clusters, np.ones(len(clusters)), 30)
    assert [row.cluster for row in rows] == list(range(29, 9, -1))


def test_picture_has_the_images_in_order(tmp_path):
    assert drawn(tmp_path / "p.png", [0] * 15 + [1] * 3, 2) == expected([*range(10), 13, 14, 15, 16, 17])


def test_empty_cluster_has_a_row_without_images(tmp_path):
    assert drawn(tmp_path / "two.png", [0, 0, 2], 3) == expected([0, 1, 2])
    drawn(tmp_path / "one.png", [0, 0, 1], 2)
    heights = [Image.open(tmp_path / f"{name}.png").height for name in ("two", "one")]
    assert heights[0] - heights[1] >= SIDE


def test_one_cluster_with_one_image(tmp_path):
    assert drawn(tmp_path / "p.png", [0], 1) == expected([0])


def test_equal_inputs_make_equal_bytes_without_metadata(tmp_path):
    for name in ("a", "b"):
        drawn(tmp_path / f"{name}.png", [0] * 15 + [1] * 3, 2)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "a.png") as picture:
        picture.load()
        assert picture.info == {}


def test_small_images_keep_their_pixels_as_squares():
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8), dtype=np.uint8)
    enlarged = np.asarray(thumbnail(Image.fromarray(pixels)))
    assert (enlarged == np.kron(pixels, np.ones((6, 6), np.uint8))[:, :, None]).all()


def test_middle_of_an_oblong_image_is_shown():
    pixels = np.zeros((60, 180, 3), np.uint8)
    pixels[:, 60:120] = (10, 200, 30)
    middle = np.asarray(thumbnail(Image.fromarray(pixels)))[:, 3:-3]  # the filter looks over the cut
    assert (middle == (10, 200, 30)).all()


@pytest.mark.parametrize("mode", ["L", "RGB", "P", "1"])
def test_images_of_any_mode(tmp_path, mode):
    rows = cluster_rows(np.zeros(3, np.int32), np.ones(3), 1)
    write_gallery(tmp_path / "p.png", rows, 1, mode, lambda _: Image.new("RGB", (28, 28), "black").convert(mode))
    assert (np.asarray(Image.open(tmp_path / "p.png")) == 0).all(axis=2).sum() >= 3 * SIDE**2


@pytest.mark.slow
def test_even_noise_stays_below_the_size_and_white_stays_white(tmp_path):
    rng = np.random.default_rng(0)
    rows = cluster_rows(np.repeat(np.arange(25), 12), np.ones(300), 25)
    noise = rng.integers(0, 256, (300, SIDE, SIDE, 3), dtype=np.uint8)
    write_gallery(tmp_path / "p.png", rows, 25, "noise", lambda row: Image.fromarray(noise[row]))
    assert (tmp_path / "p.png").stat().st_size < LARGEST_FILE
    assert Image.open(tmp_path / "p.png").getpixel((0, 0)) == (255, 255, 255)


def encoded(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format="PNG")
    return stream.getvalue()


def test_embedded_images_and_paths_make_the_same_picture(tmp_path):
    (tmp_path / "raw").mkdir()
    files = {f"{row}.png": encoded(plain(row)) for row in range(14)}
    for name, content in files.items():
        (tmp_path / "raw" / name).write_bytes(content)
    with (
        DatasetWriter(tmp_path / "embedded", None, None, {}) as embedded,
        DatasetWriter(tmp_path / "paths", None, tmp_path / "raw", {}) as paths,
    ):
        for row, (name, content) in enumerate(files.items()):
            embedded.add(row, "val", image=content)
            paths.add(row, "val", path=name)
    rows = cluster_rows(np.zeros(14, np.int32), np.linspace(1, 0.5, 14), 1)
    for name in ("embedded", "paths"):
        dataset = open_dataset(tmp_path / name)
        write_gallery(tmp_path / f"{name}.png", rows, 1, "x", lambda row, d=dataset: decode(d.image("val", row)))
        assert colours_in(tmp_path / f"{name}.png") == expected([*range(10), 12, 13])
    assert (tmp_path / "embedded.png").read_bytes() == (tmp_path / "paths.png").read_bytes()
