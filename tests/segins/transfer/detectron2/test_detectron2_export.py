import pickle
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from ruamel.yaml import YAML

from commands import export_detectron2
from pipeline_lib.artifacts.checkpoint import open_checkpoint, write_checkpoint
from pipeline_lib.base.errors import MissingFileError, UserError
from pipeline_lib.params.params import load_params
from pipeline_lib.params.presets import load_presets
from pipeline_lib.segins.resnet.build import build_resnet
from pipeline_lib.segins.transfer.detectron2 import trainer
from pipeline_lib.segins.transfer.detectron2.configuration import HEADS
from pipeline_lib.segins.transfer.detectron2.weights import detectron2_key, detectron2_weights, layers

BLOCKS = {"res2": (3, 64), "res3": (4, 128), "res4": (6, 256), "res5": (3, 512)}


def expected_shapes():
    """Convolutions of a ResNet-50 by detectron2's names."""
    shapes = {"stem.conv1": (64, 3, 7, 7)}
    channels = 64
    for stage, (count, width) in BLOCKS.items():
        for block in range(count):
            name = f"{stage}.{block}"
            shapes[f"{name}.conv1"] = (width, channels, 1, 1)
            shapes[f"{name}.conv2"] = (width, width, 3, 3)
            shapes[f"{name}.conv3"] = (4 * width, width, 1, 1)
            if block == 0:
                shapes[f"{name}.shortcut"] = (4 * width, channels, 1, 1)
            channels = 4 * width
    return shapes


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    root = tmp_path_factory.mktemp("export")
    for architecture in ("resnet50", "resnet18"):
        write_checkpoint(
            root / "data" / "checkpoints" / "scenes" / architecture,
            architecture=architecture,
            method="moco",
            origin="segins",
            backbone=build_resnet(architecture).state_dict(),
            projector=None,
            history=[],
            made_by={},
        )
    return root


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("conv1.weight", "stem.conv1.weight"),
        ("bn1.running_mean", "stem.conv1.norm.running_mean"),
        ("layer1.0.conv2.weight", "res2.0.conv2.weight"),
        ("layer3.5.bn3.bias", "res4.5.conv3.norm.bias"),
        ("layer4.0.downsample.0.weight", "res5.0.shortcut.weight"),
        ("layer2.0.downsample.1.running_var", "res3.0.shortcut.norm.running_var"),
    ],
)
def test_names(key, expected):
    assert detectron2_key(key) == expected


def test_every_tensor_is_exported_once_in_53_groups(checkpoint):
    opened = open_checkpoint(checkpoint / "data/checkpoints/scenes/resnet50")
    weights, own = detectron2_weights(opened), opened.backbone()
    assert len(weights) == len(own)
    groups = layers(weights)
    assert {group.name: group.shape for group in groups} == expected_shapes()
    assert len(groups) == 53
    ends = {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}
    for group in groups:
        assert {name.removeprefix(f"{group.name}.norm.") for name in group.normalisation} == ends
    # Nothing but convolutions and their normalisations.
    assert len(weights) == 53 + 53 * len(ends)
    np.testing.assert_array_equal(weights["res4.2.conv3.norm.weight"], own["layer3.2.bn3.weight"].numpy())


def test_the_stage_writes_weights_and_configuration_and_lists_the_groups(
    checkpoint, repository, monkeypatch, capsys, tmp_path
):
    for name in ("params.yaml", "conf"):
        if not (checkpoint / name).exists():
            (checkpoint / name).symlink_to(repository / name)
    monkeypatch.chdir(checkpoint)
    arguments = ["export", "--data", "scenes", "--start", "resnet50", "--output", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", arguments)
    export_detectron2.main()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 54
    assert lines[0] == "stem.conv1: 64 x 3 x 7 x 7, 5 of its normalisation"
    assert lines[-1].startswith("53 groups, 318 tensors")
    content = pickle.loads((tmp_path / "out" / "weights.pkl").read_bytes())
    assert content["matching_heuristics"] is True
    assert isinstance(content["model"]["stem.conv1.weight"], np.ndarray)
    written = YAML(typ="safe").load(tmp_path / "out" / "config.yaml")
    model, solver = written["MODEL"], written["SOLVER"]
    assert (model["ROI_HEADS"]["NAME"], model["ROI_HEADS"]["NUM_CLASSES"], model["MASK_ON"]) == (HEADS, 20, False)
    assert (model["BACKBONE"], model["RESNETS"]["NORM"], model["RESNETS"]["STRIDE_IN_1X1"]) == (
        {"FREEZE_AT": 0},
        "SyncBN",
        False,
    )
    assert (model["RPN"]["PRE_NMS_TOPK_TEST"], model["RPN"]["POST_NMS_TOPK_TEST"]) == (6000, 1000)
    assert (solver["STEPS"], solver["MAX_ITER"], solver["WARMUP_ITERS"]) == ([18000, 22000], 24000, 100)
    assert model["PIXEL_MEAN"] == [123.675, 116.28, 103.53]
    assert written["DATASETS"]["TRAIN"] == ["voc_2007_trainval", "voc_2012_trainval"]
    assert written["TEST"]["PRECISE_BN"] == {"ENABLED": True, "NUM_ITER": 200}


def test_the_presets_are_the_thesis_settings(repository):
    presets = load_presets(repository / "conf" / "presets.yaml")
    voc, coco = (
        load_params(repository / "params.yaml", presets.settings([f"thesis-detection-{name}"])).detection
        for name in ("voc", "coco")
    )
    assert (voc.iterations, voc.batch_size, voc.short_sides[0], voc.short_sides[-1]) == (24000, 16, 480, 800)
    assert (coco.iterations, coco.masks, coco.metric, coco.short_sides[0]) == (180000, True, "coco", 640)
    assert [round(share * coco.iterations) for share in coco.milestones] == [120000, 160000]


def test_another_architecture_is_refused(checkpoint):
    with pytest.raises(UserError, match=r"the architecture is resnet18; .* allowed is resnet50"):
        detectron2_weights(open_checkpoint(checkpoint / "data/checkpoints/scenes/resnet18"))


def test_without_detectron2_one_line_says_how_to_install_it(tmp_path, monkeypatch):
    configuration = tmp_path / "config.yaml"
    with pytest.raises(MissingFileError, match="export the checkpoint first"):
        trainer.train_with_detectron2(configuration, tmp_path)
    configuration.touch()
    monkeypatch.setitem(sys.modules, "detectron2", None)
    with pytest.raises(UserError, match=r"detectron2 is not installed.*--no-build-isolation .*@02b5c4e") as caught:
        trainer.train_with_detectron2(configuration, tmp_path)
    assert "\n" not in str(caught.value)


def test_detectron2s_trainer_is_started_with_the_heads_registered(tmp_path, monkeypatch):
    """The calls that detectron2 gets, with a stand-in for it."""
    configuration = tmp_path / "config.yaml"
    configuration.touch()
    registered, called = {}, []

    class Registry(dict):
        def register(self, heads):
            registered[heads.__name__] = heads

    class Res5ROIHeads:
        @classmethod
        def _build_res5_block(cls, _):
            return torch.nn.Sequential(torch.nn.ReLU()), 8

    class DefaultTrainer:
        def __init__(self, cfg):
            called.append(cfg.OUTPUT_DIR)

        def resume_or_load(self, resume):
            called.append(resume)

        def train(self):
            return {"bbox": {"AP": 1.0}}

    cfg = SimpleNamespace(
        merge_from_file=called.append,
        freeze=lambda: None,
        MODEL=SimpleNamespace(RESNETS=SimpleNamespace(NORM="SyncBN")),
    )
    parts = {
        "config": {"get_cfg": lambda: cfg},
        "engine": {"DefaultTrainer": DefaultTrainer, "default_setup": lambda *_: None},
        "evaluation": {},
        "layers": {"get_norm": lambda _, channels: torch.nn.BatchNorm2d(channels)},
        "modeling": {"ROI_HEADS_REGISTRY": Registry(), "Res5ROIHeads": Res5ROIHeads},
    }
    for name, content in parts.items():
        module = ModuleType(f"detectron2.{name}")
        module.__dict__.update(content)
        monkeypatch.setitem(sys.modules, f"detectron2.{name}", module)
    monkeypatch.setitem(sys.modules, "detectron2", ModuleType("detectron2"))
    result = trainer.train_with_detectron2(configuration, tmp_path / "runs")
    assert result == {"bbox": {"AP": 1.0}}
    assert called == [str(configuration), str(tmp_path / "runs"), True]
    blocks, channels = registered[HEADS]._build_res5_block(cfg)
    assert channels == 8
    assert list(dict(blocks.named_children())) == ["0", "norm"]
