import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline_lib.artifacts.dataset import open_dataset
from pipeline_lib.artifacts.objects import open_objects
from pipeline_lib.images.sources.imagenet import class_list
from pipeline_lib.params.params import load_params
from stages import annotate, scenes
from stages._context import SegInsContext

SMALL = {"scenes.train": 10, "scenes.val": 4, "scenes.side": 40}


def context(root: Path, repository: Path, stage: str, data: str = "") -> SegInsContext:
    return SegInsContext(stage, load_params(repository / "params.yaml", SMALL), data, "", root)


def test_scenes_become_images_with_objects(
    tmp_path: Path, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scenes.run(context(tmp_path, repository, "scenes"))
    assert capsys.readouterr().out.startswith("scenes: 14 scenes with ")
    annotate.run(context(tmp_path, repository, "annotate", "scenes"))
    dataset = open_dataset(tmp_path / "data" / "annotated" / "scenes" / "images")
    objects = open_objects(tmp_path / "data" / "annotated" / "scenes" / "objects")
    assert dataset.splits == {"train": 10, "val": 4}
    assert objects.class_names == dataset.class_names == tuple("0123456789")
    labels = dataset.oracle_labels("val")
    assert labels is not None
    for id, label in zip(dataset.ids("val"), labels, strict=True):
        found, class_map = objects.of(int(id)), objects.segmentation(int(id))
        assert found.masks is not None
        assert class_map is not None
        largest = np.argmax(found.masks.sum(axis=(1, 2)))
        assert found.labels[largest] == label
        assert (np.any(found.masks, axis=0) == (class_map > 0)).all()
        for mask, box in zip(found.masks, found.boxes, strict=True):
            rows, columns = np.nonzero(mask)
            assert box.tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    metrics = json.loads((tmp_path / "metrics" / "segins" / "scenes" / "annotate.json").read_text())
    assert (metrics["images"], metrics["images_with_segmentation"]) == (14, 14)
    assert metrics["objects"] == metrics["objects_with_mask"] == len(objects)
    assert 0 < metrics["mean_box_share"] < 0.5
    assert "annotate@scenes: 14 images, 0 unreadable" in capsys.readouterr().out


def test_a_source_without_objects_gives_an_empty_artifact(tmp_path: Path, repository: Path) -> None:
    annotate.run(context(tmp_path, repository, "annotate", "digits"))
    objects = open_objects(tmp_path / "data" / "annotated" / "digits" / "objects")
    assert (len(objects), objects.class_names) == (0, ())
    metrics = json.loads((tmp_path / "metrics" / "segins" / "digits" / "annotate.json").read_text())
    assert (metrics["images"], metrics["objects"], metrics["mean_box_share"]) == (1797, 0, None)


@pytest.mark.parametrize(("data", "subset"), [("imagenet100", 100), ("imagenet100_cmc", "100_cmc")])
def test_both_lists_called_imagenet_100(tmp_path: Path, repository: Path, data: str, subset: Any) -> None:
    wnids = class_list(subset)
    for split in ("train", "val"):
        for wnid in (*wnids, "n99999999"):
            folder = tmp_path / "data" / "raw" / data / split / wnid
            folder.mkdir(parents=True)
            Image.new("RGB", (4, 3)).save(folder / "1.JPEG", format="JPEG")
    annotate.run(context(tmp_path, repository, "annotate", data))
    dataset = open_dataset(tmp_path / "data" / "annotated" / data / "images")
    assert (dataset.splits, dataset.class_names) == ({"train": 100, "val": 100}, wnids)
