import json

import numpy as np
import pytest
import torch

from pipeline_lib.artifacts.classifier import open_classifier, write_classifier
from pipeline_lib.base.errors import MissingFileError, UserError

BLOCKS = (("cls_-2", 3), ("cls", 2))
GRID = [
    {"name": "a", "rate": 0.1, "input": ["cls"], "held_out_accuracy": None, "diverged": True},
    {"name": "b", "rate": 0.2, "input": ["cls_-2", "cls"], "held_out_accuracy": 0.5, "diverged": False},
]


def tensors():
    generator = torch.Generator().manual_seed(0)
    return {
        "mean": torch.randn(5, generator=generator),
        "inverse_scale": torch.rand(5, generator=generator),
        "weight": torch.randn(4, 5, generator=generator),
        "bias": torch.randn(4, generator=generator),
    }


def rows(start, stop):
    n = stop - start
    ids = np.arange(start, stop, dtype=np.int64) * 10**10
    return ids, np.full(n, 3, np.int32), np.linspace(0, 1, n, dtype=np.float32), np.full(n, 0.5, np.float32)


def write(folder, **changes):
    arguments = {
        "state": tensors(),
        "backbone": {"model": "vit", "image_size": 224},
        "blocks": BLOCKS,
        "cluster_names": ["w", "x", "y", "z"],
        "scaling": "standardise",
        "grid": GRID,
        "chosen": "b",
        "predictions": {"train": iter([rows(0, 5), rows(5, 7)]), "val": [rows(0, 2)]},
        "made_by": {"stage": "self_train", "seed": 0},
        "grid_predictions": {"val": np.array([[3, 1], [0, 2]])},
    }
    write_classifier(folder, **(arguments | changes))


def test_comes_back_as_written(tmp_path):
    write(tmp_path / "c")
    opened = open_classifier(tmp_path / "c")
    for name, value in tensors().items():
        assert torch.equal(opened.state()[name], value)
    assert opened.blocks == BLOCKS
    assert opened.classes == 4
    assert opened.cluster_names == ("w", "x", "y", "z")
    assert (opened.backbone, opened.scaling) == ({"model": "vit", "image_size": 224}, "standardise")
    assert (opened.grid, opened.chosen) == (GRID, "b")
    assert opened.splits == {"train": 7, "val": 2}
    predictions = opened.predictions("train")
    assert predictions.ids.tolist() == [i * 10**10 for i in range(7)]
    assert predictions.clusters.dtype == np.int32
    assert predictions.probability.tolist() == [*rows(0, 5)[2], *rows(5, 7)[2]]
    assert predictions.entropy.dtype == np.float32
    grid = opened.grid_predictions("val")
    assert (grid.dtype, grid.tolist()) == (np.int32, [[3, 1], [0, 2]])
    with pytest.raises(UserError, match="train"):
        opened.grid_predictions("train")


def test_same_content_gives_equal_bytes(tmp_path):
    for name in ("one", "two"):
        write(tmp_path / name)
    for path in sorted((tmp_path / "one").iterdir()):
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_names_and_predictions_may_be_absent(tmp_path):
    write(tmp_path / "c", cluster_names=None, predictions={}, grid_predictions=None)
    opened = open_classifier(tmp_path / "c")
    assert opened.cluster_names is None
    with pytest.raises(UserError, match="val"):
        opened.predictions("val")
    with pytest.raises(UserError, match="self_train"):
        opened.grid_predictions("val")


def test_a_folder_without_predictions_of_the_grid_still_predicts(tmp_path):
    write(tmp_path / "c")
    meta = json.loads((tmp_path / "c" / "meta.json").read_text())
    del meta["grid_splits"]
    (tmp_path / "c" / "meta.json").write_text(json.dumps(meta))
    opened = open_classifier(tmp_path / "c")
    assert len(opened.predictions("val").clusters) == 2
    with pytest.raises(UserError, match="self_train"):
        opened.grid_predictions("val")


@pytest.mark.parametrize(
    "changes",
    [
        {"blocks": (("cls", 4),)},
        {"state": tensors() | {"mean": torch.zeros(4)}},
        {"state": tensors() | {"extra": torch.zeros(4)}},
        {"cluster_names": ["only one"]},
        {"chosen": "c"},
        {"grid": [GRID[1], GRID[1]]},
    ],
)
def test_what_does_not_fit_is_refused_and_leaves_nothing(tmp_path, changes):
    with pytest.raises(UserError) as error:
        write(tmp_path / "c", **changes)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("labels", [np.zeros((2, 3)), np.zeros((1, 2))])
def test_predictions_of_the_grid_are_one_a_classifier_and_image(tmp_path, labels):
    with pytest.raises(ValueError, match="grid_predictions"):
        write(tmp_path / "c", grid_predictions={"val": labels})
    assert not (tmp_path / "c").exists()


def test_a_failing_prediction_leaves_the_old_artifact(tmp_path):
    def failing():
        yield rows(0, 2)
        raise RuntimeError("stopped")

    write(tmp_path / "c")
    with pytest.raises(RuntimeError, match="stopped"):
        write(tmp_path / "c", predictions={"train": failing()}, grid_predictions=None)
    assert open_classifier(tmp_path / "c").splits == {"train": 7, "val": 2}
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


def test_absent_or_cut_artifacts_are_named(tmp_path):
    with pytest.raises(MissingFileError, match="classifier"):
        open_classifier(tmp_path)
    write(tmp_path / "c")
    path = tmp_path / "c" / "classifier.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"classifier\.safetensors"):
        open_classifier(tmp_path / "c")
