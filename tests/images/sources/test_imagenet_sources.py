import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline_lib.base.errors import MissingFileError, UserError
from pipeline_lib.images.sources.imagenet import class_list
from pipeline_lib.images.sources.registry import open_source


def test_whole_set_takes_sorted_folders(put: Callable[..., Path]) -> None:
    source = open_source(
        "imagenet", put("train/n02/b.JPEG", "train/n02/a.JPEG", "train/n01/c.JPEG", "val/n01/d.JPEG", "val/n02/e.JPEG")
    )
    assert source.class_names == ("n01", "n02")
    assert source.counts == {"train": 3, "val": 2}
    assert [(record.path, record.label) for record in source.records()] == [
        ("train/n01/c.JPEG", 0),
        ("train/n02/a.JPEG", 1),
        ("train/n02/b.JPEG", 1),
        ("val/n01/d.JPEG", 0),
        ("val/n02/e.JPEG", 1),
    ]


@pytest.mark.parametrize("subset", [50, 100, 200, "100_cmc"])
def test_class_lists_equal_the_published_ones(golden_dir: Path, subset: Any) -> None:
    published = (golden_dir / "imagenet_subsets" / f"imagenet{subset}.txt").read_text().split()
    assert list(class_list(subset)) == published
    assert len(set(published)) == int(str(subset).split("_")[0])


def test_class_lists_are_nested() -> None:
    assert set(class_list(50)) < set(class_list(100)) < set(class_list(200))
    assert len(set(class_list(100)) & set(class_list("100_cmc"))) == 12


def test_subset_labels_are_line_numbers_and_other_folders_are_left(put: Callable[..., Path]) -> None:
    wnids = class_list("100_cmc")
    root = put(*[f"{split}/{wnid}/1.JPEG" for split in ("train", "val") for wnid in (*wnids, "n99999999")])
    source = open_source("imagenet", root, subset="100_cmc")
    assert source.counts == {"train": 100, "val": 100}
    assert [record.class_name for record in source.records()] == [*wnids, *wnids]
    assert [record.label for record in source.records()][:100] == list(range(100))
    shutil.rmtree(root / "val" / wnids[3])
    with pytest.raises(MissingFileError, match=rf"val/{wnids[3]}: class folder not found"):
        open_source("imagenet", root, subset="100_cmc")


def test_imagenet_problems_are_named(put: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="got 30, allowed are null, 50, 100, 200, 100_cmc"):
        open_source("imagenet", put("train/n01/1.JPEG", "val/n01/1.JPEG"), subset=30)  # type: ignore[arg-type]
    with pytest.raises(MissingFileError, match="other/train: not found"):
        open_source("imagenet", tmp_path / "other")
    with pytest.raises(MissingFileError, match="val/n01: class folder not found"):
        open_source("imagenet", put("train/n01/1.JPEG", "val/flat.JPEG", root="flat"))


def tiny(put: Callable[..., Path]) -> Path:
    root = put(
        "train/n02/images/n02_0.JPEG", "train/n01/images/n01_1.JPEG", "train/n01/images/n01_0.JPEG",
        "val/images/val_1.JPEG", "val/images/val_0.JPEG",
    )  # fmt: skip
    (root / "wnids.txt").write_text("n02\nn01\n")
    (root / "val" / "val_annotations.txt").write_text("val_1.JPEG\tn01\t0\t0\t9\t9\nval_0.JPEG\tn02\t0\t0\t9\t9\n")
    return root


def test_tiny_imagenet_layout(put: Callable[..., Path]) -> None:
    root = tiny(put)
    assert open_source("tiny_imagenet", root).class_names == ("n01", "n02")
    (root / "words.txt").write_text("n00\tentity\nn01\tgoldfish, Carassius auratus\nn02\tcentipede\n")
    source = open_source("tiny_imagenet", root)
    assert source.counts == {"train": 3, "val": 2}
    assert [(record.path, record.label, record.class_name) for record in source.records()] == [
        ("train/n01/images/n01_0.JPEG", 0, "goldfish, Carassius auratus"),
        ("train/n01/images/n01_1.JPEG", 0, "goldfish, Carassius auratus"),
        ("train/n02/images/n02_0.JPEG", 1, "centipede"),
        ("val/images/val_0.JPEG", 1, "centipede"),
        ("val/images/val_1.JPEG", 0, "goldfish, Carassius auratus"),
    ]


def test_tiny_imagenet_labels_agree_with_the_known_numbers(real_data_dir: Path) -> None:
    classes = json.loads((real_data_dir / "tinyimagenet20-small" / "classes.json").read_text())
    ranked = sorted(entry["wnid"] for entry in classes)
    assert [entry["wnid"] for entry in sorted(classes, key=lambda entry: entry["label200"])] == ranked


def test_tiny_imagenet_problems_are_named(put: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"wnids\.txt: not found"):
        open_source("tiny_imagenet", tmp_path)
    root = tiny(put)
    (root / "val" / "val_annotations.txt").write_text("val_1.JPEG\tn09\n")
    with pytest.raises(UserError, match=r"val_annotations\.txt: expected .* found 'val_1\.JPEG"):
        open_source("tiny_imagenet", root)
    shutil.rmtree(root / "train" / "n02")
    (root / "val" / "val_annotations.txt").write_text("")
    with pytest.raises(MissingFileError, match="train/n02/images: class folder not found"):
        open_source("tiny_imagenet", root)
