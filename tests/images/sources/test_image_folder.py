from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline_lib.base.errors import MissingFileError, UserError
from pipeline_lib.images.image_files import walk
from pipeline_lib.images.sources.records import Source
from pipeline_lib.images.sources.registry import open_source


def listed(source: Source) -> list[tuple[str, str | None, int | None, str | None]]:
    return [(record.split, record.path, record.label, record.class_name) for record in source.records()]


def test_flat_folder_is_unlabelled_and_sorted(put: Callable[..., Path]) -> None:
    root = put("b.PNG", "a.jpeg", "10.png", "9.png")
    (root / "notes.txt").write_text("x")
    (root / ".hidden.png").write_bytes(b"x")
    source = open_source("folder", root)
    assert listed(source) == [("train", name, None, None) for name in ("10.png", "9.png", "a.jpeg", "b.PNG")]
    assert source.counts == {"train": 4}
    assert source.class_names is None
    assert source.ignored_files == 1
    assert source.root == root


def test_class_folders_without_splits(put: Callable[..., Path]) -> None:
    source = open_source("folder", put("dog/1.png", "cat/2.png", "cat/deep/1.png", "Zebra/1.png"))
    assert source.class_names == ("Zebra", "cat", "dog")
    assert listed(source) == [
        ("train", "Zebra/1.png", 0, "Zebra"),
        ("train", "cat/2.png", 1, "cat"),
        ("train", "cat/deep/1.png", 1, "cat"),
        ("train", "dog/1.png", 2, "dog"),
    ]


@pytest.mark.parametrize("name", ["val", "valid", "Validation", "test"])
def test_one_evaluation_folder_is_val(put: Callable[..., Path], name: str) -> None:
    source = open_source("folder", put("train/a/1.png", "train/b/1.png", f"{name}/b/2.png", f"{name}/c/1.png"))
    assert source.counts == {"train": 2, "val": 2}
    assert source.class_names == ("a", "b", "c")
    assert listed(source)[2:] == [("val", f"{name}/b/2.png", 1, "b"), ("val", f"{name}/c/1.png", 2, "c")]


def test_test_folder_beside_val_stays_test(put: Callable[..., Path]) -> None:
    root = put("test/1.png", "train/1.png", "train/2.png", "val/1.png")
    (root / "README.md").write_text("x")
    source = open_source("folder", root)
    assert [record.split for record in source.records()] == ["train", "train", "val", "test"]
    assert source.ignored_files == 1


def test_unlabelled_images_among_labelled_ones(put: Callable[..., Path]) -> None:
    source = open_source("folder", put("train/a/1.png", "train/b/1.png", "train/loose.png", "test/1.png"))
    assert [label for *_, label, _ in listed(source)] == [0, 1, None, None]


def test_single_subfolder_is_no_class_unless_asked(put: Callable[..., Path]) -> None:
    root = put("pictures/1.png", "pictures/2.png")
    assert open_source("folder", root).class_names is None
    assert open_source("folder", root, labels="folders").class_names == ("pictures",)


def test_labels_none_and_folders(put: Callable[..., Path]) -> None:
    root = put("a/1.png", "b/1.png", "loose.png")
    assert {record.label for record in open_source("folder", root, labels="none").records()} == {None}
    with pytest.raises(UserError, match=r"loose\.png: in no class folder, but labels = folders"):
        open_source("folder", root, labels="folders")


def test_a_class_called_train_is_no_split(put: Callable[..., Path]) -> None:
    source = open_source("folder", put("car/1.png", "train/1.png"))
    assert source.counts == {"train": 2}
    assert source.class_names == ("car", "train")


def test_odd_folder_beside_splits_is_refused(put: Callable[..., Path]) -> None:
    with pytest.raises(UserError, match="found 'unlabeled'"):
        open_source("folder", put("train/1.png", "val/1.png", "unlabeled/1.png"))


def test_two_folders_for_one_split_are_refused(put: Callable[..., Path]) -> None:
    with pytest.raises(UserError, match="one folder a split"):
        open_source("folder", put("train/1.png", "val/1.png", "valid/1.png"))


def test_empty_folders_are_refused(put: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "a.txt").write_text("x")
    with pytest.raises(UserError, match=r"empty: no image in it, 1 other files; accepted are bmp, .*webp"):
        open_source("folder", tmp_path / "empty")
    with pytest.raises(MissingFileError, match="absent: no such folder"):
        open_source("folder", tmp_path / "absent")
    root = put("val/1.png")
    (root / "train").mkdir()
    with pytest.raises(UserError, match="train: no image in the train split"):
        open_source("folder", root)


def test_links_are_followed_but_not_in_circles(put: Callable[..., Path]) -> None:
    root = put("a/1.png")
    elsewhere = put("2.png", root="elsewhere")
    (root / "b").symlink_to(elsewhere)
    (root / "a" / "up").symlink_to(root)
    assert list(walk(root)) == ["a/1.png", "b/2.png"]


def test_every_pass_gives_the_same_records(put: Callable[..., Path]) -> None:
    source = open_source("folder", put("a/1.png", "b/1.png", "b/2.png"))
    assert list(source.records()) == list(source.records())


def test_unknown_kind_and_misplaced_options_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"data kind = 'cifar': unknown; did you mean cifar20\? allowed: digits, cifar10, .*folder"
    ):
        open_source("cifar", tmp_path)
    with pytest.raises(UserError, match="got 50 with kind 'digits'"):
        open_source("digits", tmp_path, subset=50)
    with pytest.raises(UserError, match="got 'none' with kind 'digits'"):
        open_source("digits", tmp_path, labels="none")
    with pytest.raises(UserError, match="got 'guess', allowed are auto, folders, none"):
        open_source("folder", tmp_path, labels="guess")  # type: ignore[arg-type]
