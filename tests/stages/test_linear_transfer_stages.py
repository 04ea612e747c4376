"""The stages linear_eval, segmentation and dense_probe on a small data set."""

import dataclasses
import json

import pytest
from shapes_kit import SMALL, write_images, write_start

from pipeline_lib.artifacts.segmentations import open_segmentations
from pipeline_lib.base.errors import MissingFileError, UserError
from pipeline_lib.params.params import load_params
from pipeline_lib.segins.transfer.segmentation.training import SegmentationTrainer
from stages import dense_probe, linear_eval, segmentation
from stages._context import SegInsContext


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    # The state of an interrupted run lies below the current folder.
    monkeypatch.chdir(tmp_path)
    write_images(tmp_path / "data/annotated/shapes")
    write_start(tmp_path / "data/checkpoints/shapes/random")
    return tmp_path


def run(stage, root, repository, **changes):
    params = load_params(repository / "params.yaml", SMALL | changes)
    name = stage.__name__.rpartition(".")[2]
    target = {} if stage is linear_eval else {"target": "shapes"}
    context = SegInsContext(name, params, "shapes", "", start="random", **target)
    stage.run(dataclasses.replace(context, root=root))
    [path] = (root / "metrics").rglob(f"{name}-*.json")
    return json.loads(path.read_text())


def written(root):
    files = [path for path in (root / "data/transfer").rglob("*.*") if path.is_file()]
    return {path.name: path.read_bytes() for path in (*files, *(root / "metrics").rglob("*.json"))}


def test_linear_evaluation_writes_its_measures(workspace, repository):
    measures = run(linear_eval, workspace, repository)
    assert set(measures) == {"top1", "top5", "ridge_acc", "knn_acc", "train_images", "test_images", "classes"}
    # Objects of two colours: features of random weights already tell them apart.
    assert measures["knn_acc"] > 0.9
    assert measures["ridge_acc"] > 0.9
    assert measures["top5"] == 1.0
    assert (measures["train_images"], measures["test_images"], measures["classes"]) == (12, 40, 2)
    assert run(linear_eval, workspace, repository) == measures


@pytest.mark.slow
def test_segmentation_writes_measures_pictures_and_layers(workspace, repository):
    measures = run(segmentation, workspace, repository)
    for mode in ("frozen", "fine_tuned"):
        assert 0 <= measures[f"{mode}_miou"] <= measures[f"{mode}_pixel_acc"] <= 1
    assert measures["test_images"] == 40
    folder = workspace / "data/transfer/shapes/segmentation-random-shapes"
    opened = open_segmentations(folder)
    assert {name: len(maps) for name, maps in opened.maps.items()} == {"frozen": 32, "fine_tuned": 32}
    assert opened.maps["frozen"][12].shape == (40, 36)
    assert set(opened.modes["frozen"]["class_iou"]) == {"background", "red", "green"}
    assert opened.modes["frozen"]["history"][-1]["iteration"] == 4
    assert (folder / "frozen.safetensors").is_file()
    assert not list((workspace / "scratch/segmentation").iterdir())
    first = written(workspace)
    run(segmentation, workspace, repository)
    assert written(workspace) == first


@pytest.mark.slow
def test_an_interrupted_segmentation_goes_on_to_the_same_bytes(workspace, repository, monkeypatch, capsys):
    run(segmentation, workspace, repository)
    expected = written(workspace)
    whole = SegmentationTrainer._watch

    def interrupted(trainer, loss):
        whole(trainer, loss)
        if trainer.iteration == 3 and not trainer.segmenter.frozen:
            raise KeyboardInterrupt

    monkeypatch.setattr(SegmentationTrainer, "_watch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(segmentation, workspace, repository)
    monkeypatch.setattr(SegmentationTrainer, "_watch", whole)
    capsys.readouterr()
    # Settings of the machine decide no result and lose no progress.
    run(segmentation, workspace, repository, **{"machine.workers": 1, "machine.checkpoint_seconds": 60.0})
    printed = capsys.readouterr().out
    assert "frozen resuming after step 4" in printed
    assert "fine_tuned resuming after step 2" in printed
    assert written(workspace) == expected


def test_the_dense_probe_finds_objects_of_another_colour(workspace, repository):
    measures = run(dense_probe, workspace, repository)
    of_probe = {prefix + key for prefix in ("", "deep_") for key in ("pixel_ap", "iou", "threshold", "strength")}
    assert set(measures) == {*of_probe, "object_share", "train_images", "test_images"}
    assert measures["object_share"] == pytest.approx(500 / (40 * 36), abs=1e-4)
    # Cells of 9 pixels against an object of 20 × 25: random weights already place it.
    assert measures["pixel_ap"] > 0.8
    assert measures["iou"] > 0.6
    assert measures["object_share"] < measures["deep_pixel_ap"] < measures["pixel_ap"]
    assert (measures["train_images"], measures["test_images"]) == (12, 40)
    assert run(dense_probe, workspace, repository) == measures
    few = run(dense_probe, workspace, repository, **{"dense_probe.train_images": 6, "dense_probe.test_images": 9})
    assert (few["train_images"], few["test_images"]) == (6, 9)


def test_more_folds_than_images_are_refused(workspace, repository):
    with pytest.raises(UserError, match=r"dense_probe\.folds = 13: split train of .* has 12 images"):
        run(dense_probe, workspace, repository, **{"dense_probe.folds": 13})


@pytest.mark.parametrize(("stage", "split"), [(segmentation, "val"), (dense_probe, "train")])
def test_a_data_set_without_maps_is_refused(workspace, repository, stage, split):
    write_images(workspace / "data/annotated/shapes", with_maps=False)
    with pytest.raises(UserError, match=f"no image of split {split} has a segmentation map; choose another data set"):
        run(stage, workspace, repository)


@pytest.mark.parametrize("stage", [linear_eval, segmentation, dense_probe])
def test_weights_of_another_architecture_and_no_checkpoint_are_refused_in_one_line(workspace, repository, stage):
    write_start(workspace / "data/checkpoints/shapes/random", weights_of="resnet34")
    with pytest.raises(UserError, match="not the weights of this architecture") as caught:
        run(stage, workspace, repository)
    assert "\n" not in str(caught.value)
    (workspace / "data/checkpoints/shapes/random").rename(workspace / "gone")
    with pytest.raises(MissingFileError, match="no checkpoint artifact here"):
        run(stage, workspace, repository)
