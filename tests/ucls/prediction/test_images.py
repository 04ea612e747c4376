import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from pipeline_lib.backbones.preprocessing import Preprocessing
from pipeline_lib.base.errors import MissingFileError, UserError
from pipeline_lib.ucls.prediction.images import find_images, image_batches


def png(value, size=(4, 4)):
    stream = io.BytesIO()
    Image.new("L", size, value).save(stream, format="PNG")
    return stream.getvalue()


def transform(side=4):
    return Preprocessing(side, side, "native").transform("image_size")


def put(folder, *names):
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(png(number))


def read(references, batch_size=2, workers=0, side=4):
    """Grey values of the used images, in order, and the errors' texts."""
    values, errors = [], []
    for batch in image_batches(references, transform(side), batch_size, workers):
        if batch.images is not None:
            values += torch.round(batch.images[:, 0, 0, 0] * 255).int().tolist()
        errors += [str(error) for error in batch.errors]
    return values, errors


def write_parquet(path, values, row_group_size, kind=None):
    pq.write_table(pa.table({"image": pa.array(values, kind)}), path, row_group_size=row_group_size)


def test_inputs_keep_their_order_and_folders_are_searched_in_the_order_of_names(tmp_path):
    put(tmp_path, "b/2.png", "b/1.JPG", "b/a/3.webp", "b/notes.txt", "b/.hidden.png", "a.png", "odd.name")
    found = find_images([tmp_path / "b", tmp_path / "odd.name", tmp_path / "a.png"])
    names = [reference.name for reference in found.references]
    assert names == [str(tmp_path / name) for name in ("b/1.JPG", "b/2.png", "b/a/3.webp", "odd.name", "a.png")]
    assert found.empty == ()


def test_an_empty_folder_is_told_and_nothing_at_all_is_an_error(tmp_path):
    put(tmp_path, "full/1.png", "empty/readme.txt")
    assert find_images([tmp_path / "empty", tmp_path / "full"]).empty == (tmp_path / "empty",)
    with pytest.raises(UserError, match=r"empty: no image in it; accepted in folders are bmp, .*webp"):
        find_images([tmp_path / "empty"])


def test_an_absent_input_is_refused_before_any_work(tmp_path):
    put(tmp_path, "1.png")
    with pytest.raises(MissingFileError, match=r"2\.png: no such file or folder"):
        find_images([tmp_path / "1.png", tmp_path / "2.png"])


def test_a_name_that_is_not_utf8_is_refused():
    with pytest.raises(UserError, match=r"not UTF-8; rename it") as caught:
        find_images([Path("a\udcff.png")])
    assert str(caught.value).isascii()


@pytest.mark.parametrize("row_group_size", [2, 3, 100])
def test_rows_of_parquet_files_are_images(tmp_path, row_group_size):
    path = tmp_path / "images.parquet"
    write_parquet(path, [png(10 * row) for row in range(7)], row_group_size)
    found = find_images([path])
    assert [reference.name for reference in found.references] == [f"{path}#{row}" for row in range(7)]
    assert read(found.references) == ([0, 10, 20, 30, 40, 50, 60], [])
    assert read(found.references[::-1]) == ([60, 50, 40, 30, 20, 10, 0], [])


def test_parquet_images_may_be_structs_and_null(tmp_path):
    path = tmp_path / "images.parquet"
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    write_parquet(path, [{"bytes": png(5), "path": "x"}, {"bytes": None, "path": "y"}, None], 2, kind)
    values, errors = read(find_images([path]).references)
    assert values == [5]
    assert [error.split(": ")[0] for error in errors] == [f"{path}#1", f"{path}#2"]


def test_a_parquet_file_without_images_is_refused(tmp_path):
    pq.write_table(pa.table({"label": [1]}), tmp_path / "labels.parquet")
    with pytest.raises(UserError, match=r"labels\.parquet: expected a column image, found label"):
        find_images([tmp_path / "labels.parquet"])
    (tmp_path / "text.parquet").write_text("no")
    with pytest.raises(UserError, match=r"text\.parquet: not a Parquet file"):
        find_images([tmp_path / "text.parquet"])


def test_images_that_cannot_be_used_leave_the_others_in_order(tmp_path):
    put(tmp_path, "0.png", "1.png", "2.png", "3.png", "4.png")
    (tmp_path / "1.png").write_bytes(png(1)[:40])
    (tmp_path / "2.png").write_bytes(png(2, (5, 4)))
    values, errors = read(find_images([tmp_path]).references)
    assert values == [0, 3, 4]
    assert errors[0].startswith(f"{tmp_path / '1.png'}: cannot be decoded (")
    assert errors[1] == (f"{tmp_path / '2.png'}: 4 x 5 pixels (height x width); this model takes images of 4 x 4 only")


@pytest.mark.slow
def test_the_order_does_not_depend_on_workers_and_batches(tmp_path):
    put(tmp_path, *(f"{number:02d}.png" for number in range(11)))
    (tmp_path / "04.png").write_bytes(b"")
    references = find_images([tmp_path]).references
    expected = (
        np.delete(np.arange(11), 4).tolist(),
        [f"{tmp_path / '04.png'}: cannot be decoded (no known image format)"],
    )
    assert read(references, 3, 0) == expected
    assert read(references, 2, 2) == expected
    assert read(references, 100, 2) == expected
