import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline_lib.artifacts.dataset import open_dataset
from pipeline_lib.base.errors import UserError
from pipeline_lib.images.preparation import prepare_dataset
from pipeline_lib.images.sources.records import Record, Source
from pipeline_lib.images.sources.registry import open_source

DEFAULTS: dict[str, Any] = {
    "unreadable": "skip",
    "val_fraction": 0.25,
    "limit_per_split": None,
    "seed": 3,
    "workers": 2,
    "made_by": {"stage": "prepare", "seed": 3},
}


def source_of(images: list[bytes], splits: list[str] | None = None) -> Source:
    names = splits or ["train"] * len(images)

    def records() -> Any:
        for number, (split, image) in enumerate(zip(names, images, strict=True)):
            yield Record(split, image, None, None, None, f"image {number}")

    return Source(records, {split: names.count(split) for split in ("train", "val", "test") if split in names}, None)


def folder_bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_digits_get_a_held_out_split(tmp_path: Path) -> None:
    metrics = prepare_dataset(open_source("digits", tmp_path), tmp_path / "out", **DEFAULTS)
    dataset = open_dataset(tmp_path / "out")
    assert dataset.splits == {"train": 1348, "val": 449}
    ids = np.concatenate([dataset.ids("train"), dataset.ids("val")])
    assert np.sort(ids).tolist() == list(range(1797))
    assert (np.diff(dataset.ids("train")) > 0).all()
    assert (np.diff(dataset.ids("val")) > 0).all()
    assert metrics == {
        "images": 1797, "images_train": 1348, "images_val": 449, "classes": 10, "labelled_share": 1.0,
        "unreadable": 0, "unreadable_paths": [], "ignored_files": 0,
        "width_min": 8, "width_median": 8, "width_max": 8, "height_min": 8, "height_median": 8, "height_max": 8,
        "mode_L": 1797,
    }  # fmt: skip
    assert json.loads(json.dumps(metrics)) == metrics


def test_labels_belong_to_their_images(tmp_path: Path) -> None:
    source = open_source("digits", tmp_path)
    prepare_dataset(source, tmp_path / "out", **DEFAULTS)
    dataset = open_dataset(tmp_path / "out")
    records = list(source.records())
    for split in ("train", "val"):
        labels = dataset.oracle_labels(split)
        assert labels is not None
        assert labels.tolist() == [records[id].label for id in dataset.ids(split)]
        images = [image for _, image in dataset.images(split, 0, dataset.splits[split])]
        assert images == [records[id].image for id in dataset.ids(split)]


def test_held_out_split_depends_on_the_seed_alone(tmp_path: Path, encode: Callable[..., bytes]) -> None:
    images = [encode((number, 0, 0)) for number in range(40)]
    chosen = []
    for number, seed in enumerate((1, 1, 2)):
        prepare_dataset(source_of(images), tmp_path / str(number), **{**DEFAULTS, "seed": seed})
        chosen.append(open_dataset(tmp_path / str(number)).ids("val").tolist())
    assert chosen[0] == chosen[1] != chosen[2]
    assert len(chosen[0]) == 10
    assert chosen[0] != list(range(chosen[0][0], chosen[0][0] + 10))


@pytest.mark.parametrize("workers", [0, 1, 7])
def test_artifact_and_metrics_do_not_depend_on_workers(tmp_path: Path, workers: int, broken_jpeg: bytes) -> None:
    def mixed() -> Source:
        digits = open_source("digits", tmp_path)
        images = [record.image or b"" for record in digits.records()][:300]
        images[40:44] = [broken_jpeg] * 4
        return source_of(images, (["val", "train", "train"] * 100))

    first = prepare_dataset(mixed(), tmp_path / "a", **DEFAULTS)
    again = prepare_dataset(mixed(), tmp_path / "b", **{**DEFAULTS, "workers": workers})
    assert first == again
    assert folder_bytes(tmp_path / "a") == folder_bytes(tmp_path / "b")


def test_existing_split_is_kept_and_ids_count_left_out_images(
    tmp_path: Path, encode: Callable[..., bytes], broken_jpeg: bytes
) -> None:
    good = encode((1, 2, 3))
    source = source_of([good, broken_jpeg, good, good, b""], ["test", "train", "val", "train", "train"])
    metrics = prepare_dataset(source, tmp_path / "out", **DEFAULTS)
    dataset = open_dataset(tmp_path / "out")
    assert dataset.splits == {"train": 1, "val": 1, "test": 1}
    assert list(dataset.splits) == ["train", "val", "test"]
    assert [dataset.ids(split).tolist() for split in dataset.splits] == [[3], [2], [0]]
    assert metrics["unreadable"] == 2
    assert metrics["unreadable_paths"] == ["image 1", "image 4"]
    assert metrics["labelled_share"] == 0
    assert metrics["classes"] is None


def test_broken_file_is_skipped_or_stops(put: Callable[..., Path], tmp_path: Path, broken_jpeg: bytes) -> None:
    root = put("a/1.png", "a/2.png", "b/1.png")
    (root / "a" / "bad.jpg").write_bytes(broken_jpeg)
    (root / "a" / "notes.txt").write_text("x")
    source = open_source("folder", root)
    metrics = prepare_dataset(source, tmp_path / "out", **{**DEFAULTS, "val_fraction": 0.0})
    assert metrics["unreadable_paths"] == ["a/bad.jpg"]
    assert metrics["ignored_files"] == 1
    assert (metrics["images"], metrics["classes"], metrics["width_min"], metrics["height_max"]) == (3, 2, 6, 4)
    dataset = open_dataset(tmp_path / "out")
    assert dataset.splits == {"train": 3}
    assert dataset.ids("train").tolist() == [0, 1, 3]
    before = folder_bytes(tmp_path / "out")
    with pytest.raises(UserError, match=r"^[^\n]*a/bad\.jpg: cannot be decoded [^\n]*set unreadable to skip$"):
        prepare_dataset(source, tmp_path / "out", **{**DEFAULTS, "unreadable": "stop"})
    assert folder_bytes(tmp_path / "out") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "out"]


def test_only_the_first_twenty_unreadable_are_listed(tmp_path: Path, encode: Callable[..., bytes]) -> None:
    metrics = prepare_dataset(source_of([b"x"] * 30 + [encode((0, 0, 0))] * 9), tmp_path / "out", **DEFAULTS)
    assert metrics["unreadable"] == 30
    assert metrics["unreadable_paths"] == [f"image {number}" for number in range(20)]


def test_nothing_readable_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no image of the train split can be decoded, 5 fail, first image 0, image 1"):
        prepare_dataset(source_of([b"x"] * 5), tmp_path / "out", **DEFAULTS)
    assert list(tmp_path.iterdir()) == []


def test_limit_draws_from_the_whole_split(tmp_path: Path) -> None:
    metrics = prepare_dataset(open_source("digits", tmp_path), tmp_path / "out", **{**DEFAULTS, "limit_per_split": 50})
    dataset = open_dataset(tmp_path / "out")
    assert dataset.splits == {"train": 50, "val": 50}
    assert metrics["images"] == 100
    assert dataset.ids("train").max() > 1500
    prepare_dataset(open_source("digits", tmp_path), tmp_path / "all", **DEFAULTS)
    whole = open_dataset(tmp_path / "all")
    for split in ("train", "val"):
        assert set(dataset.ids(split).tolist()) < set(whole.ids(split).tolist())


def test_a_single_image_stays_in_train(tmp_path: Path, encode: Callable[..., bytes]) -> None:
    prepare_dataset(source_of([encode((0, 0, 0))]), tmp_path / "out", **DEFAULTS)
    assert open_dataset(tmp_path / "out").splits == {"train": 1}


def test_sizes_are_upright_medians_are_of_all_images(tmp_path: Path, encode: Callable[..., bytes]) -> None:
    images = [encode((0, 0, 0), size=(width, 5)) for width in (9, 1, 4, 4, 7)]
    metrics = prepare_dataset(source_of(images), tmp_path / "out", **DEFAULTS)
    assert (metrics["width_min"], metrics["width_median"], metrics["width_max"]) == (1, 4, 9)
    assert metrics["mode_RGB"] == 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"val_fraction": 1.0}, "val_fraction: got 1.0, allowed are values from 0 to below 1"),
        ({"val_fraction": -0.1}, "val_fraction: got -0.1"),
        ({"limit_per_split": 0}, "limit_per_split: got 0, allowed are null and whole numbers from 1"),
        ({"unreadable": "ignore"}, "unreadable: got 'ignore', allowed are skip, stop"),
    ],
)
def test_impossible_parameters_are_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        prepare_dataset(source_of([b"x"]), tmp_path / "out", **{**DEFAULTS, **change})


def test_images_that_come_while_reading_are_noticed(tmp_path: Path, encode: Callable[..., bytes]) -> None:
    grown = source_of([encode((0, 0, 0))] * 3)
    counted = Source(grown.records, {"train": 2}, None)
    with pytest.raises(UserError, match="image 2: came while the data set was read"):
        prepare_dataset(counted, tmp_path / "out", **DEFAULTS)


def test_real_images(real_data_dir: Path, tmp_path: Path) -> None:
    source = open_source("parquet", real_data_dir / "caltech10-small")
    metrics = prepare_dataset(source, tmp_path / "out", **{**DEFAULTS, "unreadable": "stop"})
    assert (metrics["images_train"], metrics["images_val"], metrics["classes"]) == (600, 300, 10)
    assert metrics["mode_L"] + metrics["mode_RGB"] == 900
    assert metrics["width_min"] < metrics["width_median"] < metrics["width_max"]
    labels = open_dataset(tmp_path / "out").oracle_labels("val")
    assert labels is not None
    assert np.bincount(labels).tolist() == [30] * 10
