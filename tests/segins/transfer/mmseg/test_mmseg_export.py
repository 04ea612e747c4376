import runpy
import sys

import numpy as np
import pytest
import torch
from mmseg_kit import CLASSES, MEAN, STD, class_map, encoded, settings, write_data, write_start
from objects_kit import write_objects
from PIL import Image

from commands import export_mmseg
from pipeline_lib.artifacts.objects import open_objects
from pipeline_lib.base.errors import MissingFileError, UserError
from pipeline_lib.params.params import load_params
from pipeline_lib.params.presets import load_presets
from pipeline_lib.segins.transfer.mmseg.configuration import mmseg_configuration, write_configuration
from pipeline_lib.segins.transfer.mmseg.trainer import train_with_mmseg
from pipeline_lib.segins.transfer.mmseg.voc_folder import VocFolder, write_voc_folder
from pipeline_lib.segins.transfer.mmseg.weights import write_weights


def voc_of(root):
    return VocFolder(root, ".jpg", ("background", *CLASSES), {"train": 6, "val": 3})


def test_images_that_are_no_jpeg_are_written_as_png(tmp_path):
    folder = write_voc_folder(tmp_path / "voc", *write_data(tmp_path, kinds=("PNG", "JPEG")))
    assert (folder.suffix, folder.classes) == (".png", ("background", "square", "disc"))
    assert folder.counts == {"train": 6, "val": 3}
    names = {
        split: (tmp_path / f"voc/ImageSets/Segmentation/{split}.txt").read_text().split() for split in ("train", "val")
    }
    assert names == {"train": [f"{number:08d}" for number in range(6)], "val": ["00000007", "00000008", "00000009"]}
    for number in (*range(6), 7, 8, 9):
        kind = "JPEG" if number % 2 else "PNG"
        (tmp_path / "own").write_bytes(encoded(number, kind))
        found = Image.open(tmp_path / f"voc/JPEGImages/{number:08d}.png")
        np.testing.assert_array_equal(found, Image.open(tmp_path / "own"))
        found = Image.open(tmp_path / f"voc/SegmentationClass/{number:08d}.png")
        np.testing.assert_array_equal(found, class_map(number))


def test_jpeg_files_are_copied_as_they_are(tmp_path):
    folder = write_voc_folder(tmp_path / "voc", *write_data(tmp_path, kinds=("JPEG",)))
    assert folder.suffix == ".jpg"
    assert (tmp_path / "voc/JPEGImages/00000003.jpg").read_bytes() == encoded(3, "JPEG")
    assert len(list((tmp_path / "voc/JPEGImages").iterdir())) == 9


def test_a_data_set_without_maps_is_refused(tmp_path):
    dataset, _ = write_data(tmp_path)
    write_objects(tmp_path / "none", [], [], CLASSES, {})
    with pytest.raises(UserError, match="no image of split train has a segmentation map"):
        write_voc_folder(tmp_path / "voc", dataset, open_objects(tmp_path / "none"))
    assert not (tmp_path / "voc").exists()


def test_weights_are_the_checkpoint_s_under_the_same_names(tmp_path):
    checkpoint = write_start(tmp_path / "start", "resnet18")
    count = write_weights(tmp_path / "weights.pth", checkpoint)
    found, expected = torch.load(tmp_path / "weights.pth", weights_only=True), checkpoint.backbone()
    assert count == len(found)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in expected)


@pytest.mark.parametrize("frozen", [True, False])
def test_the_preset_has_the_thesis_schedule(tmp_path, frozen):
    section = load_params(changes=load_presets().settings(["thesis-segmentation"])).segmentation
    checkpoint = write_start(tmp_path / "start")
    values = mmseg_configuration(
        checkpoint, section, voc_of(tmp_path / "voc"), tmp_path / "w.pth", frozen=frozen, seed=0, workers=0
    )
    write_configuration(tmp_path / "c.py", values)
    read = runpy.run_path(str(tmp_path / "c.py"))
    assert {key: read[key] for key in values} == values
    assert read["train_cfg"] == {"type": "IterBasedTrainLoop", "max_iters": 40000}
    assert read["optim_wrapper"]["optimizer"] == {"type": "SGD", "lr": 0.01, "momentum": 0.9, "weight_decay": 5e-4}
    decay = read["param_scheduler"][0]
    assert (decay["power"], decay["eta_min"], decay["end"], decay["by_epoch"]) == (0.9, 1e-4, 40000, False)
    assert read["train_dataloader"]["batch_size"] == 16
    assert read["model"]["data_preprocessor"]["size"] == (512, 512)
    np.testing.assert_allclose(read["model"]["data_preprocessor"]["mean"], np.array(MEAN) * 255)
    np.testing.assert_allclose(read["model"]["data_preprocessor"]["std"], np.array(STD) * 255)
    backbone, head = read["model"]["backbone"], read["model"]["decode_head"]
    assert (backbone["frozen_stages"], backbone["norm_eval"]) == ((4, True) if frozen else (-1, False))
    assert (head["num_convs"], head["channels"], head["concat_input"], head["dropout_ratio"]) == (0, 2048, False, 0)
    assert head["num_classes"] == 3


@pytest.mark.parametrize("changes", [{"scaling": "standardise"}, {"stage": "res4"}])
def test_what_only_this_pipeline_has_is_refused(tmp_path, changes):
    checkpoint = write_start(tmp_path / "start", "resnet18")
    ((name, value),) = changes.items()
    with pytest.raises(UserError, match=rf"segmentation\.{name} = {value}: mmsegmentation trains on res5 as it is"):
        mmseg_configuration(
            checkpoint,
            settings(**changes),
            None,
            tmp_path / "weights.pth",
            frozen=True,
            seed=0,
            workers=0,
        )


def test_a_free_size_is_refused(tmp_path):
    checkpoint = write_start(tmp_path / "start", "resnet18")
    with pytest.raises(UserError, match=r"segmentation\.short_side = null: .*give a number"):
        mmseg_configuration(
            checkpoint,
            settings(short_side=None),
            voc_of(tmp_path),
            tmp_path / "weights.pth",
            frozen=True,
            seed=0,
            workers=0,
        )


def test_without_mmsegmentation_or_configuration_one_line_says_so(tmp_path, monkeypatch):
    with pytest.raises(MissingFileError, match="not found; export the checkpoint first"):
        train_with_mmseg(tmp_path / "absent.py", tmp_path / "out")
    (tmp_path / "c.py").write_text("model = {}\n")
    monkeypatch.setitem(sys.modules, "mmseg", None)
    with pytest.raises(UserError, match=r"not installed: pip install '\.\[mmseg\]'"):
        train_with_mmseg(tmp_path / "c.py", tmp_path / "out")


def test_the_command_writes_everything(tmp_path, repository, monkeypatch, capsys):
    write_data(tmp_path / "data/annotated/shapes")
    write_start(tmp_path / "data/checkpoints/scenes/moco-segins", "resnet18")
    for name in ("params.yaml", "conf"):
        (tmp_path / name).symlink_to(repository / name)
    monkeypatch.chdir(tmp_path)
    arguments = ["--start", "moco-segins", "--target", "shapes", "--output", "out", "-S", "segmentation.batch_size=4"]
    monkeypatch.setattr(sys, "argv", ["export_mmseg", *arguments])
    export_mmseg.main()
    printed = capsys.readouterr().out
    assert "6 + 3 images" in printed
    assert "resnet18: mmsegmentation dilates its blocks in another way" in printed
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "fine_tuned.py",
        "frozen.py",
        "voc",
        "weights.pth",
    ]
    assert runpy.run_path("out/frozen.py")["train_dataloader"]["batch_size"] == 4
