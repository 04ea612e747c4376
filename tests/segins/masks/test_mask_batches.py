import numpy as np
import pytest
import torch
from PIL import Image

from pipeline_lib.base.errors import UserError
from pipeline_lib.segins.masks.batches import ImageInput, batch_rows, image_batches, mask_size

INPUT = ImageInput(8, 16, (0.5, 0.5, 0.5), (0.25, 0.5, 1.0))


def read(row: int) -> Image.Image:
    return Image.new("RGB", (40 + row, 20), (row, 0, 255))


def read_all_but_one(row: int) -> Image.Image:
    if row == 3:
        raise UserError("image 3: cannot be decoded")
    return read(row)


@pytest.mark.parametrize(("count", "batch_size"), [(10, 4), (8, 4), (3, 4), (1, 2)])
def test_every_row_is_wanted_once_and_all_batches_have_one_size(count: int, batch_size: int) -> None:
    batches = batch_rows(count, batch_size, 5)
    wanted = [row for rows, new in batches for row in rows[:new]]
    assert sorted(wanted) == list(range(count))
    assert {len(rows) for rows, _ in batches} == {min(count, batch_size)}
    assert all(len(set(rows)) == len(rows) for rows, _ in batches)


def test_order_follows_from_the_seed_and_is_not_that_of_the_rows() -> None:
    assert batch_rows(50, 8, 1) == batch_rows(50, 8, 1)
    assert batch_rows(50, 8, 1) != batch_rows(50, 8, 2)
    assert batch_rows(50, 8, 1)[0][0] != tuple(range(8))


def test_images_are_resized_and_normalised() -> None:
    values = INPUT(read(51))
    assert values.shape == (3, 8, 16)
    torch.testing.assert_close(values[:, 0, 0], torch.tensor([(0.2 - 0.5) / 0.25, -1.0, 0.5]))


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_the_same_for_any_number_of_workers(workers: int) -> None:
    made = list(image_batches(7, read, INPUT, batch_size=4, longest_side=21, seed=0, workers=workers))
    assert [batch.wanted for batch in made] == [4, 3]
    assert [batch.rows for batch in made] == [rows for rows, _ in batch_rows(7, 4, 0)]
    for batch in made:
        for row, image, size in zip(batch.rows, batch.images, batch.image_sizes, strict=True):
            assert size == (20, 40 + row)
            torch.testing.assert_close(image, INPUT(read(row)))


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_image_ends_in_its_own_error(workers: int) -> None:
    with pytest.raises(UserError, match=r"^image 3: cannot be decoded$"):
        list(image_batches(6, read_all_but_one, INPUT, batch_size=2, longest_side=64, seed=0, workers=workers))


@pytest.mark.parametrize(("size", "expected"), [((100, 50), (50, 100)), ((500, 300), (77, 128)), ((1, 900), (128, 1))])
def test_masks_are_kept_at_the_size_of_the_image_or_smaller(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert mask_size(Image.new("RGB", size), 128) == expected
    assert np.prod(expected) > 0


def test_processes_share_whole_batches_in_their_order() -> None:
    options = {"batch_size": 3, "longest_side": 64, "seed": 1, "workers": 0}
    whole = list(image_batches(16, read, INPUT, **options))
    shares = [list(image_batches(16, read, INPUT, rank=rank, processes=4, **options)) for rank in range(4)]
    together = [batch for share in shares for batch in share]
    assert [batch.rows for batch in together] == [batch.rows for batch in whole]
    assert all(torch.equal(a.images, b.images) for a, b in zip(together, whole, strict=True))
    assert {len(share) for share in shares} == {1, 2}
