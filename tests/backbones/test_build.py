import json
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from pydantic import ValidationError
from torch import nn

from pipeline_lib.backbones.build import build_backbone, rebuilt
from pipeline_lib.backbones.settings import BackboneSettings, WeightsSettings
from pipeline_lib.base.errors import MissingFileError, UserError

NO_WEIGHTS = WeightsSettings(source="none")
THESIS_MODELS = [
    *(
        f"vit_{size}_patch14{registers}_dinov2.lvd142m"
        for size in ("small", "base", "large", "giant")
        for registers in ("", "_reg4")
    ),
    *(f"vit_{name}_224.dino" for name in ("small_patch16", "base_patch16", "base_patch8")),
]


@pytest.mark.parametrize("model", THESIS_MODELS)
def test_names_of_the_thesis_backbones_are_in_timm_with_the_preprocessing_they_need(model: str) -> None:
    assert model in timm.list_pretrained()
    facts = timm.get_pretrained_cfg(model).to_dict()
    assert facts["mean"] == (0.485, 0.456, 0.406)
    assert facts["interpolation"] == "bicubic"
    assert facts["hf_hub_id"] == f"timm/{model}"
    assert facts["fixed_input_size"]


def test_the_architecture_for_msn_weights_is_the_one_that_was_released() -> None:
    facts = timm.get_pretrained_cfg("vit_large_patch16_224.mae").to_dict()
    assert facts["mean"] == (0.485, 0.456, 0.406)
    assert not [name for name in timm.list_pretrained() if "msn" in name]


def test_dinov2_is_built_for_the_image_size_asked_for() -> None:
    config = BackboneSettings(model="vit_small_patch14_reg4_dinov2.lvd142m", weights=NO_WEIGHTS, image_size=56)
    backbone = build_backbone(config)
    assert backbone.extractor.model.pos_embed.shape == (1, 16, 384)
    assert backbone.preprocessing.height == backbone.preprocessing.width == 56
    assert backbone.preprocessing.crop_fraction == 1.0
    assert backbone.extractor.dimension == 5 * 384
    assert backbone.facts()["registers"] == 4
    features = backbone.extractor(torch.randn(2, 3, 56, 56))
    assert features.shape == (2, 1920)
    assert not features.requires_grad
    assert not backbone.extractor.training


def test_the_model_keeps_its_own_image_size_where_none_is_given() -> None:
    backbone = build_backbone(BackboneSettings(model="vit_tiny_patch16_224", weights=NO_WEIGHTS, last_blocks=1))
    assert (backbone.preprocessing.height, backbone.preprocessing.width) == (224, 224)
    assert list(backbone.extractor.widths) == ["cls", "patch_mean"]


def test_settings_override_the_preprocessing_of_timm() -> None:
    config = BackboneSettings(
        model="resnet18",
        weights=NO_WEIGHTS,
        image_size=64,
        crop_fraction=0.5,
        mean=(0.1, 0.2, 0.3),
        std=(1.0, 2.0, 3.0),
    )
    preprocessing = build_backbone(config).preprocessing
    assert preprocessing.crop_fraction == 0.5
    assert preprocessing.mean == (0.1, 0.2, 0.3)
    assert preprocessing.std == (1.0, 2.0, 3.0)


def test_other_models_give_what_they_feed_their_classifier() -> None:
    backbone = build_backbone(BackboneSettings(model="resnet18", weights=NO_WEIGHTS, image_size=32))
    assert backbone.extractor.blocks == {"pooled": (0, 512)}
    images = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        expected = backbone.extractor.model.forward_features(images).mean(dim=(2, 3))
        torch.testing.assert_close(backbone.extractor(images), expected, rtol=1e-4, atol=1e-5)


def test_random_weights_do_not_depend_on_the_seed_of_the_stage() -> None:
    config = BackboneSettings(model="resnet18", weights=NO_WEIGHTS, image_size=32)
    torch.manual_seed(1)
    first = build_backbone(config)
    state = torch.random.get_rng_state()
    second = build_backbone(config)
    assert first.digest == second.digest
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_backbone_is_rebuilt_from_the_facts_that_artifacts_record(tmp_path: Path) -> None:
    options = {"img_size": 32, "num_classes": 0}
    torch.save(timm.create_model("vit_tiny_patch16_224", **options).state_dict(), tmp_path / "w.pth")
    config = BackboneSettings(
        model="vit_tiny_patch16_224",
        weights=WeightsSettings(source="file", path=str(tmp_path / "w.pth")),
        image_size=32,
        crop_fraction=0.8,
        blocks=("cls_-2", "cls"),
        name="tiny",
    )
    first = build_backbone(config)
    facts = json.loads(json.dumps(first.facts()))
    again = rebuilt(facts)
    assert again.preprocessing == first.preprocessing
    assert again.facts() == first.facts()
    picture = Image.linear_gradient("L").rotate(30)
    images = first.transform()(picture)[None]
    torch.testing.assert_close(again.extractor(again.transform()(picture)[None]), first.extractor(images))

    (tmp_path / "w.pth").rename(tmp_path / "moved.pth")
    with pytest.raises(MissingFileError, match=r"backbones\.tiny\.weights\.path = .*w\.pth: no such file"):
        rebuilt(facts)
    assert rebuilt(facts, WeightsSettings(source="file", path=str(tmp_path / "moved.pth"))).digest == first.digest
    with pytest.raises(UserError, match=r"backbones\.tiny\.weights: expected weights with blake2b"):
        rebuilt(facts, NO_WEIGHTS)


def test_pixels_of_digits_are_64_columns() -> None:
    for config, native in (
        (BackboneSettings(model="pixels_grey"), (8, 8)),
        (BackboneSettings(model="pixels_grey", image_size=8), None),
    ):
        backbone = build_backbone(config, native)
        assert backbone.extractor.blocks == {"pixels": (0, 64)}
        picture = Image.linear_gradient("L").resize((8, 8))
        features = backbone.extractor(backbone.transform()(picture)[None])[0]
        expected = torch.from_numpy(np.array(picture)).flatten() / 255
        torch.testing.assert_close(features, expected)
        assert rebuilt(backbone.facts()).preprocessing == backbone.preprocessing
    assert build_backbone(BackboneSettings(model="pixels_rgb", image_size=8)).extractor.dimension == 192
    with pytest.raises(UserError, match=r"image_size is not set and the size of the images is not known"):
        build_backbone(BackboneSettings(model="pixels_grey"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "vit_smal_patch14_dinov2"}, r"backbones\.b\.model = .*close names: vit_small_patch14_dinov2"),
        ({"model": "vit_small_patch14_dinov2.x"}, r"has no weights 'x' of it; allowed: lvd142m"),
        ({"model": "resnet18", "blocks": ("cls",)}, r"backbones\.b\.blocks: resnet18 has no block 'cls'.*pooled"),
        (
            {"model": "vit_tiny_patch16_224", "image_size": 60},
            r"image_size = 60: must be a multiple of the patch size 16",
        ),
        ({"model": "vit_tiny_patch16_224", "last_blocks": 13}, r"last_blocks = 13: the model has 12 blocks"),
    ],
)
def test_impossible_settings_are_refused_in_one_line(options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        build_backbone(BackboneSettings(weights=NO_WEIGHTS, name="b", **options))  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": {"source": "file"}}, "source = 'file' needs path"),
        ({"weights": {"source": "package"}}, "source = 'package' needs package"),
        ({"weights": {"source": "web"}}, "weights.source"),
        ({"image_size": 0}, "image_size"),
        ({"crop_fraction": 1.5}, "crop_fraction"),
        ({"last_blocks": 0}, "last_blocks"),
    ],
)
def test_settings_without_meaning_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        BackboneSettings(model="resnet18", name="b", **options)  # type: ignore[arg-type]


def test_a_weight_file_that_does_not_fit_names_the_file(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "w.pth")
    config = BackboneSettings(
        model="resnet18", weights=WeightsSettings(source="file", path=str(tmp_path / "w.pth")), name="b"
    )
    with pytest.raises(UserError, match=r"backbones\.b\.weights\.path = .*w\.pth: tensors do not fit .*2 unexpected"):
        build_backbone(config)
