import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from pipeline_lib.artifacts import dataset_writer
from pipeline_lib.artifacts.dataset import Dataset, open_dataset
from pipeline_lib.artifacts.dataset_writer import DatasetWriter
from pipeline_lib.base.errors import UserError
from pipeline_lib.images.decoding import UndecodableImageError
from pipeline_lib.images.transforms import image_loader

COUNT = 53


def to_tensor(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)  # (3, H, W)


@pytest.fixture(params=["embedded", "paths"])
def dataset(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    encode: Callable[..., bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> Dataset:
    monkeypatch.setattr(dataset_writer, "_GROUP_ROWS", 10)
    embedded = request.param == "embedded"
    with DatasetWriter(tmp_path / "out", None, None if embedded else tmp_path, {}) as writer:
        for number in range(COUNT):
            image = encode((number, 0, 0), size=(2, 3))
            (tmp_path / f"{number}.png").write_bytes(image)
            writer.add(number, "train", image=image if embedded else None, path=None if embedded else f"{number}.png")
    return open_dataset(tmp_path / "out")


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("workers", [0, 1, 2, 3])
@pytest.mark.parametrize("rows", [range(COUNT), range(7, 29), range(5, 5)])
def test_batches_come_in_row_order_for_any_number_of_workers(dataset: Dataset, workers: int, rows: range) -> None:
    # Opened in this process first, as a stage does before its workers start.
    assert len(dataset.ids("train")) == COUNT
    loader = image_loader(dataset, "train", rows, to_tensor, batch_size=4, workers=workers)
    batches = list(loader)
    assert len(batches) == len(loader) == -(-len(rows) // 4)
    assert [row for numbers, _ in batches for row in numbers.tolist()] == list(rows)
    assert [value for _, images in batches for value in images[:, 0, 0, 0].tolist()] == list(rows)
    for numbers, images in batches:
        assert numbers.dtype == torch.int64
        assert images.shape == (len(numbers), 3, 3, 2)


@pytest.mark.slow
def test_spawned_workers_open_the_file_themselves(dataset: Dataset) -> None:
    loader = image_loader(dataset, "train", range(9), to_tensor, batch_size=3, workers=2)
    assert len(dataset.ids("train")) == COUNT
    loader.batches.multiprocessing_context = "spawn"
    assert [row for numbers, _ in loader for row in numbers.tolist()] == list(range(9))


@pytest.mark.parametrize("workers", [0, 2])
def test_undecodable_image_is_named_in_one_line(tmp_path: Path, workers: int, broken_jpeg: bytes) -> None:
    with DatasetWriter(tmp_path / "out", None, None, {}) as writer:
        writer.add(0, "val", image=broken_jpeg)
    loader = image_loader(open_dataset(tmp_path / "out"), "val", range(1), to_tensor, batch_size=3, workers=workers)
    with pytest.raises(UndecodableImageError) as caught:
        list(loader)
    assert str(caught.value).startswith("val row 0: cannot be decoded (")
    assert "\n" not in str(caught.value)


def refuse_red_from_12(image: Image.Image) -> Tensor:
    red = int(np.array(image)[0, 0, 0])
    if red >= 12:
        raise UserError(f"red = {red}: allowed: below 12")
    return to_tensor(image)


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("workers", [0, 1, 2, 3])
def test_error_of_a_transform_arrives_with_its_one_line_after_the_batches_before_it(
    dataset: Dataset, workers: int
) -> None:
    loader = image_loader(dataset, "train", range(COUNT), refuse_red_from_12, batch_size=4, workers=workers)
    rows: list[int] = []
    with pytest.raises(UserError) as caught:
        rows.extend(row for numbers, _ in loader for row in numbers.tolist())
    assert type(caught.value) is UserError
    assert str(caught.value) == "red = 12: allowed: below 12"
    assert rows == list(range(12))


def test_bad_arguments_are_refused(dataset: Dataset) -> None:
    with pytest.raises(ValueError, match="consecutive"):
        image_loader(dataset, "train", range(0, 9, 2), to_tensor, 4, 0)
    with pytest.raises(ValueError, match="batch_size"):
        image_loader(dataset, "train", range(9), to_tensor, 0, 0)


def test_grey_images_come_as_rgb(tmp_path: Path) -> None:
    stream = io.BytesIO()
    Image.new("L", (2, 2), 9).save(stream, format="PNG")
    with DatasetWriter(tmp_path / "out", None, None, {}) as writer:
        writer.add(0, "train", image=stream.getvalue())
    ((_, images),) = image_loader(open_dataset(tmp_path / "out"), "train", range(1), to_tensor, 1, 0)
    assert images.tolist() == [[[[9, 9], [9, 9]]] * 3]
