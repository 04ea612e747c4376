"""Presets of chapter 4: each table's is whole, and is what the thesis says."""

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pipeline_lib.base.errors import UserError
from pipeline_lib.params.lengths import EXPECTED, unequal_lengths
from pipeline_lib.params.params import load_params
from pipeline_lib.params.presets import load_presets

ROOT = Path(__file__).resolve().parents[2]
PRESETS = load_presets(ROOT / "conf/presets.yaml")
TABLES = [f"thesis-table-4.{number}" for number in range(1, 9)]
ROWS = ["thesis-segins", *(f"thesis-{method}{crops}" for method in ("simsiam", "moco") for crops in ("", "-multicrop"))]
METHOD = {"pretrain", "simsiam", "moco", "segins", "masks", "linear_eval", "detection", "segmentation"}
TARGETS = {"4.2": "coco", "4.4": "coco", "4.5": "voc2012_aug"}


def composed(*names):
    return load_params(ROOT / "params.yaml", PRESETS.settings(names))


@pytest.mark.parametrize("name", [*ROWS, *TABLES])
def test_one_name_decides_all_of_the_method(name):
    assert set(PRESETS.decides(name)) >= METHOD
    assert PRESETS.undecided(name) == []
    assert unequal_lengths(composed(name)) == []


@pytest.mark.parametrize("name", TABLES)
def test_each_table_is_pretrained_as_the_thesis_says(name):
    params = composed(name)
    pretrain, number = params.pretrain, name.removeprefix("thesis-table-")
    batches = {method: pretrain.for_method(params.method_settings(method)).batch_size for method in ("simsiam", "moco")}
    assert batches == {"simsiam": 512, "moco": 256}
    assert (pretrain.architecture, pretrain.global_size, pretrain.epochs) == ("resnet50", 224, 500)
    crops = (pretrain.global_scale, pretrain.local_crops)
    assert crops == (((0.4, 1.0), 4) if number == "4.7" else ((0.2, 1.0), 0))
    assert (pretrain.local_size, pretrain.local_scale) == (96, (0.05, 0.4))
    assert [params.segins.weight_for(method) for method in ("simsiam", "moco")] == [1, 2]
    assert (params.masks.source, params.masks.threshold) == ("tokencut" if number == "4.8" else "contracam", 0.5)
    assert params.segins_suite.data == ("imagenet100_cmc",)
    assert params.segins_suite.target == (TARGETS.get(number, "voc0712"),)


def test_the_transfers_are_those_of_the_thesis():
    linear, voc, coco, short = (composed(f"thesis-table-4.{number}") for number in (1, 3, 4, 2))
    assert (linear.linear_eval.batch_size, linear.linear_eval.learning_rate, linear.linear_eval.epochs) == (
        256,
        30,
        200,
    )

    def schedule(params):
        section = params.detection
        return section.iterations, *(round(share * section.iterations) for share in section.milestones)

    assert schedule(voc) == (24_000, 18_000, 22_000)
    assert schedule(coco) == (180_000, 120_000, 160_000)
    assert schedule(short) == (90_000, 60_000, 80_000)
    assert [params.detection.masks for params in (voc, coco, short)] == [False, True, True]
    section = composed("thesis-table-4.5").segmentation
    assert (section.stage, section.crop_size, section.iterations, section.batch_size) == ("res5", 512, 40_000, 16)
    assert (section.learning_rate, section.modes) == (0.01, ("frozen", "fine_tuned"))


def test_multi_crop_is_added_to_any_table():
    pretrain = composed("thesis-table-4.3", "thesis-multi-crop").pretrain
    assert (pretrain.global_scale, pretrain.local_crops, pretrain.epochs) == ((0.4, 1.0), 4, 500)
    assert pretrain == composed("thesis-simsiam-multicrop").pretrain == composed("thesis-moco-multicrop").pretrain


def test_tokencut_has_the_keys_of_its_own_backbone():
    params = composed("thesis-table-4.8")
    masks, backbone = params.masks, params.backbones[params.masks.backbone]
    assert (masks.projection, masks.similarity) == ("key", 0.2)
    assert backbone.model == "vit_small_patch16_224.dino"
    assert backbone.image_size % 16 == 0


def test_a_method_has_a_batch_of_its_own_where_it_names_one():
    changes = {"pretrain.batch_size": 32, "pretrain.accumulate": 2, "moco.batch_size": 48}
    params = load_params(ROOT / "params.yaml", changes)
    assert params.pretrain.for_method(params.simsiam) is params.pretrain
    assert params.pretrain.for_method(params.moco).batch_size == 48
    with pytest.raises(UserError, match=r"moco\.batch_size = 49: must be a multiple of pretrain\.accumulate = 2"):
        load_params(ROOT / "params.yaml", changes | {"moco.batch_size": 49})


def test_a_trial_of_a_transfer_beside_the_thesis_pretraining_is_warned_of():
    pretraining = PRESETS.settings(["thesis-pretraining"])
    params = load_params(ROOT / "params.yaml", pretraining)
    assert [line.partition(" = ")[0] for line in unequal_lengths(params)] == [
        "linear_eval.image_size",
        "detection.iterations",
        "segmentation.iterations",
    ]
    (line,) = unequal_lengths(params, ["detection", "masks"])
    assert line == (
        f"detection.iterations = {params.detection.iterations} beside a pretraining of 500 epochs at 224 pixels, "
        "where the thesis has 24000: add the preset thesis-detection-voc or thesis-detection-coco"
    )
    small = load_params(ROOT / "params.yaml", pretraining | {"masks.image_size": 128})
    assert unequal_lengths(small, ["masks"])[0].endswith("add the preset thesis-pretraining")
    assert unequal_lengths(load_params(ROOT / "params.yaml", pretraining | {"masks.source": "centre"}), ["masks"]) == []
    assert unequal_lengths(load_params(ROOT / "params.yaml")) == []


def test_what_the_warnings_expect_is_what_the_presets_set():
    for stage, expected in EXPECTED.items():
        values = [PRESETS.settings([name])[f"{stage}.{expected.key}"] for name in expected.presets.split(" or ")]
        assert min(values) == expected.thesis


def test_every_stage_that_a_preset_is_for_is_one_of_dvc_yaml():
    stages = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
    assert {stage for preset in PRESETS.by_name.values() for stage in preset.stages} <= set(stages)
